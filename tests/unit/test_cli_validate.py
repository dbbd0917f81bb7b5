"""`finetune-trainer validate`: what it says of a good job, and how it says what is wrong with a bad one."""

import csv
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Job = Callable[..., str]
Cli = Callable[..., Any]
STORIES = Path(__file__).parents[1] / "models" / "stories260k"


def test_it_foretells_the_run(job: Job, cli: Cli) -> None:
    gates = [{"metric": "accuracy", "min": 0.5, "minImprovement": 0.1}]
    path = job(evaluation={"gates": gates, "metric": "f1Macro"}, training={"epochs": 3})
    ended = cli("validate", path)
    assert (ended.code, ended.err) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in ended.out.splitlines() if line[:1] != " ")
    assert facts["job"] == "tiny: SequenceClassification by Full"
    assert facts["data"] == "SingleLabel, 1 file, 216 rows read"
    assert facts["training"] == "18 steps at most: 3 epochs of 6"
    assert facts["values"] == "learning rate 0.003, batches of 32, inputs of 64 tokens at most"
    assert facts["best"].startswith("by f1Macro, measured after each epoch; stops after 3 evaluations")
    assert facts["gate"] == "accuracy min 0.5, min improvement 0.1"
    assert facts["output"] == "file://./out/tiny/<uid>/"
    steps = [event["totalSteps"] for event in cli("run", path, "--json").events if event["event"] == "progress"]
    assert set(steps) == {18}


def test_the_table_of_splits_is_aligned(job: Job, cli: Cli) -> None:
    lines = cli("validate", job()).out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split() == ["train", "validation", "test"])
    table = lines[start : start + 5]
    assert {len(line) for line in table} == {len(table[0])}
    assert [line.split()[0] for line in table[1:]] == ["rows", "complaint", "neither", "praise"]
    counts = [[int(cell) for cell in line.split()[1:]] for line in table[1:]]
    assert sum(counts[0]) == 216
    assert [sum(column) for column in zip(*counts[1:], strict=True)] == counts[0]


def test_lengths_in_tokens_and_what_is_cut(job: Job, cli: Cli, tiny_model: Callable[..., Path], data: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("bert"))
    with data.open() as stream:
        lengths = [len(tokenizer(row["text"])["input_ids"]) for row in csv.DictReader(stream)]
    longest, cut = max(lengths), sum(length > 14 for length in lengths)
    assert 0 < cut < len(lengths)
    path = job(data={"maxLength": 14, "split": {"test": 0, "validation": 0}}, evaluation={"metric": "evalLoss"})
    found = json.loads(cli("validate", path, "--json").out)["data"]["splits"]["train"]["lengths"]
    assert (found["longest"], found["truncated"], found["limit"], found["every"]) == (longest, cut, 14, 1)
    assert found["median"] == statistics.median(lengths)
    lines = [line.split() for line in cli("validate", path).out.splitlines()]
    assert ["longest", str(longest)] in lines
    assert ["rows", "above", "14,", "cut", str(cut)] in lines


def test_the_first_example_is_shown_with_what_is_learned(job: Job, cli: Cli, lines: Any) -> None:
    pairs = [{"prompt": f"Our printer {number}", "completion": "is fine."} for number in range(30)]
    blocks: dict[str, Any] = {"data": {"train": [{"uri": lines("pairs.jsonl", pairs)}]}, "method": {"type": "LoRA"}}
    path = Path(job(model=STORIES.as_uri(), **blocks))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    ended = cli("validate", path)
    assert ended.code == 0, ended.err
    sample = next(line for line in ended.out.splitlines() if line.startswith("sample"))
    assert re.search(r"Our printer \d+↵«is fine\.</s>»$", sample)
    assert not re.search(r"^ +(mean|min|max) ", ended.out, re.MULTILINE), "nothing here is a number"


def test_as_json(job: Job, cli: Cli) -> None:
    ended = cli("validate", job(data={"split": {"test": 0}}, training={"maxSteps": 50}), "--json")
    assert (ended.code, ended.err) == (0, "")
    facts = json.loads(ended.out)
    assert facts["valid"] is True
    assert set(facts["data"]["splits"]) == {"train", "validation"}
    assert facts["plan"]["totalSteps"] == 50
    assert facts["resolved"] == {"epochs": 1, "learningRate": 0.003, "batchSize": 32, "maxLength": 64}


def test_the_spec_alone(job: Job, data: Path, cli: Cli) -> None:
    data.unlink()
    ended = cli("validate", job(), "--spec-only")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "valid (model and data not looked at)"
    assert json.loads(cli("validate", job(), "--spec-only", "--json").out)["data"] is None


def test_a_failure_as_json(job: Job, data: Path, cli: Cli) -> None:
    data.write_text("text,label\n")
    ended = cli("validate", job(), "--json")
    answer = json.loads(ended.out)
    assert (ended.code, ended.err, answer["valid"]) == (65, "", False)
    assert answer["failure"]["code"] == "DataEmpty"
    assert answer["failure"]["problems"][0]["hint"]


def test_settings_for_a_cluster_are_named(job: Job, cli: Cli) -> None:
    path = job(compute={"profile": "gpu"}, runPolicy={"backoffLimit": 1, "suspend": True})
    secret = {"output.secretRef": "{name: s3}"}
    said = [
        "Only a cluster looks at compute.profile, runPolicy.suspend and runPolicy.backoffLimit;",
        "Only a cluster looks at output.secretRef; credentials are taken from the environment here.",
    ]
    overrides = [part for field, value in secret.items() for part in ("--set", f"{field}={value}")]
    ended = cli("validate", path, *overrides)
    assert ended.code == 0, ended.err
    for sentence in said:
        assert ended.out.count(sentence) == 1
    assert ended.out.splitlines()[-1].startswith("valid, ")
    ran = cli("run", path, *overrides, "--set", "training.maxSteps=1")
    assert ran.code == 0, ran.err
    for sentence in said:
        assert ran.err.count(sentence) == 1
    assert "Only a cluster" not in cli("validate", job()).out
    assert "Only a cluster" not in cli("validate", path, "--set", "metadata.uid=from-a-cluster").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--set", "training.epochs=five"], 64, ["SpecInvalid", "training.epochs", "number"]),
        (["--set", "training.lerningRate=1"], 64, ["SpecInvalid", "did you mean"]),
        (["--set", "training.epochs"], 64, ["SpecInvalid", "--set"]),
        (["--set", "=5"], 64, ["SpecInvalid"]),
        (["--set"], 2, ["--set"]),
        (["--sett", "a=b"], 2, ["No such option", "--set"]),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], code: int, words: list[str], job: Job, cli: Cli) -> None:
    ended = cli("validate", job(), *arguments)
    assert ended.code == code
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err
