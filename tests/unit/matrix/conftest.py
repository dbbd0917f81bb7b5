"""What each task is tried on in the matrix: a small model, real rows, and what shows that it learned."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from matrix_checks import RATES, SETTINGS, STEPS, cases_of, lines_of

from finetune_api.tasks import MethodType, Task

ROOT = Path(__file__).parents[3]
STORIES = ROOT / "tests" / "models" / "stories260k"
RESTAURANTS = ROOT / "examples" / "data" / "e2e_restaurants.jsonl"
PAIRS = ROOT / "examples" / "data" / "preferences.jsonl"
QUESTIONS = {"english": ROOT / "examples/data/xquad_en.jsonl", "spanish": ROOT / "tests/data/xquad/es.jsonl"}
PROBLEMS = ROOT / "tests" / "data" / "word_problems" / "word_problems.jsonl"
_WORD = re.compile(r"\w+|[^\w\s]")
Rows = list[dict[str, Any]]
Blocks = dict[str, dict[str, Any]]
_LONGER = {"training": {"maxSteps": 50}}
"""For models that start from nothing; they are so small that it takes no longer."""


@dataclass(frozen=True)
class World:
    """What a task is tried on."""

    model: Path
    train: Rows
    test: Rows
    better: dict[str, float]
    """By how much each of these metrics must beat the base's, whatever the method."""
    blocks: Blocks = field(default_factory=dict)
    """Further blocks of the spec."""
    rates: dict[MethodType, float] = field(default_factory=dict)
    """Learning rates of some methods, where the usual ones of the matrix don't do."""


@dataclass(frozen=True)
class Models:
    """Models that are made on the spot, for texts that they must know."""

    reader: Callable[[set[str]], Path]
    encoder_decoder: Callable[..., Path]


@pytest.fixture(scope="session")
def world_of(reader: Callable[[set[str]], Path], encoder_decoder: Callable[..., Path]) -> Callable[[Task], World]:
    """A function from a task to what it is tried on; a run takes a second or two."""
    models, made = Models(reader, encoder_decoder), dict[Task, World]()

    def world(task: Task) -> World:
        if task not in made:
            made[task] = WORLDS[task](models)
        return made[task]

    return world


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the tests of a file the tasks that it lists as `TASKS`."""
    tasks = getattr(metafunc.module, "TASKS", ())
    if tasks and "method" in metafunc.fixturenames:
        metafunc.parametrize(("task", "method"), cases_of(tasks))
    elif tasks and "layered" in metafunc.fixturenames:
        metafunc.parametrize("layered", [pytest.param(task, marks=pytest.mark.slow) for task in tasks])


@pytest.fixture
def write_job(tmp_path: Path, world_of: Callable[[Task], Any]) -> Callable[[Task, MethodType], Path]:
    """A function that writes the job of a task by a method."""

    def write(task: Task, method: MethodType) -> Path:
        world = world_of(task)
        rate = (RATES | world.rates)[method]
        for name in ("train", "test"):
            (tmp_path / f"{name}.jsonl").write_text(lines_of(getattr(world, name)), encoding="utf-8")
        spec: dict[str, Any] = {
            "task": task.value,
            "model": {"uri": world.model.as_uri()},
            "data": {name: [{"uri": f"file://./{name}.jsonl"}] for name in ("train", "test")},
            "method": {"type": method.value, **SETTINGS.get(method, {})},
            "training": {"maxSteps": STEPS, "batchSize": 8, "learningRate": rate},
            "evaluation": {"evalSteps": 8},
            "output": {"uri": "file://./out"},
        }
        for block, fields in world.blocks.items():
            spec[block] = {**spec[block], **fields}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(_manifest(spec)))
        return tmp_path / "job.yaml"

    return write


def _manifest(spec: dict[str, Any]) -> dict[str, Any]:
    kind = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
    return {**kind, "spec": spec}


def _rows(file: Path) -> Rows:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _languages(_models: Models) -> World:
    """In which language is a question?"""
    several = [
        [{"text": row["question"][:60], "label": language} for row in _rows(file)[:40]]
        for language, file in QUESTIONS.items()
    ]
    rows = [row for both in zip(*several, strict=True) for row in both]
    rates = {MethodType.PREFIX_TUNING: 5e-2, MethodType.PROMPT_TUNING: 2e-1, MethodType.P_TUNING: 1e-2}
    blocks: Blocks = {
        "training": {"maxSteps": 40},
        "data": {"split": {"validation": 0}},
        "evaluation": {"evalSteps": 0},
    }
    return World(STORIES, rows[:50], rows[50:], better={"accuracy": 0.15}, blocks=blocks, rates=rates)


def _slots(models: Models) -> World:
    """Which words of a sentence are the restaurant's name, its food and its kind?"""
    rows = [row for row in map(_slots_of, _rows(RESTAURANTS)) if len(row["tokens"]) <= 16][:110]
    model = models.reader({word.lower() for row in rows for word in row["tokens"]})
    return World(model, rows[:80], rows[80:], better={"accuracy": 0.3, "f1": 0.1, "evalLoss": 0.8}, blocks=_LONGER)


def _slots_of(row: dict[str, str]) -> dict[str, Any]:
    words = _WORD.findall(row["target"])
    tags = ["O"] * len(words)
    for name, value in re.findall(r"(name|food|eatType)\[([^\]]*)\]", row["input"]):
        parts = _WORD.findall(value)
        place = next((at for at in range(len(words)) if words[at : at + len(parts)] == parts), None)
        if place is not None:
            tags[place : place + len(parts)] = [f"B-{name}", *[f"I-{name}"] * (len(parts) - 1)]
    return {"tokens": words, "tags": tags}


def _sentences(models: Models) -> World:
    """Facts about a restaurant become a sentence."""
    rows = [row for row in _rows(RESTAURANTS) if len(row["target"]) < 80][:80]
    model = models.encoder_decoder("t5", [text for row in rows for text in row.values()], vocabulary=500)
    generation = {"maxNewTokens": 6}
    data = {"maxLength": 48, "maxTargetLength": 24}
    return World(
        model,
        rows[:64],
        rows[64:],
        better={"evalLoss": 0.3},
        blocks={"data": data, "evaluation": {"generation": generation}},
    )


def _answers(_models: Models) -> World:
    """The last step of the answer to a problem in words."""
    rows = [
        {"prompt": row["question"][-50:], "completion": row["answer"].rpartition("\n####")[0].splitlines()[-1][:60]}
        for row in _rows(PROBLEMS)[:80]
    ]
    generation = {"maxNewTokens": 4}
    return World(
        STORIES, rows[:60], rows[60:], better={"evalLoss": 0.5}, blocks={"evaluation": {"generation": generation}}
    )


def _hidden_words(models: Models) -> World:
    """Hidden words of sentences about restaurants."""
    texts = [row["target"] for row in _rows(RESTAURANTS) if len(row["target"]) < 90][:100]
    model = models.reader({word for text in texts for word in _WORD.findall(text.lower())})
    rows = [{"text": text} for text in texts]
    return World(model, rows[:80], rows[80:], better={"evalLoss": 0.15}, blocks=_LONGER)


def _tastes(_models: Models) -> World:
    """The bare result is preferred over the worked answer: a taste that a tiny model can learn."""
    rows = [row for row in _rows(PAIRS) if 40 < len(row["chosen"]) < 120]
    brief = [
        {"prompt": row["prompt"][-20:], "chosen": row["chosen"].splitlines()[-1], "rejected": row["chosen"]}
        for row in rows[:44]
    ]
    return World(STORIES, brief[:32], brief[32:], better={"evalLoss": 0.05}, blocks={"data": {"maxLength": 128}})


def _preferences(models: Models) -> World:
    world = _tastes(models)
    generation = {"maxNewTokens": 3}
    return World(
        world.model,
        world.train,
        world.test,
        better={"rewardAccuracy": 0.25, **world.better},
        blocks={**world.blocks, "evaluation": {"generation": generation}},
    )


def _scores(models: Models) -> World:
    world = _tastes(models)
    return World(world.model, world.train, world.test, better={"accuracy": 0.25, **world.better}, blocks=world.blocks)


def _rewarded(_models: Models) -> World:
    """Stories go on with a word that the model writes by chance now and then, and that is rewarded."""
    names, things = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max"), ("a red ball", "a big dog", "a small cat")
    rows = [
        {"prompt": f"Once upon a time, {name} had {thing}.", "completion": "was"} for thing in things for name in names
    ]
    blocks: Blocks = {
        "data": {"maxLength": 64, "promptTemplate": "{prompt}", "split": {"validation": 0.4}},
        "training": {"batchSize": 4, "policy": {"reward": {"type": "Contains"}, "numGenerations": 8}},
        "evaluation": {"generation": {"maxNewTokens": 8}},
    }
    return World(STORIES, rows[:14], rows[14:], better={"meanReward": 0.15}, blocks=blocks)


WORLDS: dict[Task, Callable[[Models], World]] = {
    Task.SEQUENCE_CLASSIFICATION: _languages,
    Task.TOKEN_CLASSIFICATION: _slots,
    Task.SEQ2SEQ: _sentences,
    Task.CAUSAL_LM: _answers,
    Task.MASKED_LM: _hidden_words,
    Task.PREFERENCE: _preferences,
    Task.REWARD_MODEL: _scores,
    Task.POLICY_OPTIMIZATION: _rewarded,
}
