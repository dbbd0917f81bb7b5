"""Whole runs of text to text with small models on real data: they learn, and what they export writes the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import Report

ROOT = Path(__file__).parents[3]
RESTAURANTS = ROOT / "examples/data/e2e_restaurants.jsonl"
QUESTIONS = {
    "en": ROOT / "examples/data/xquad_en.jsonl",
    "es": ROOT / "tests/data/xquad/es.jsonl",
    "ru": ROOT / "tests/data/xquad/ru.jsonl",
    "zh": ROOT / "tests/data/xquad/zh.jsonl",
    "fr": ROOT / "tests/data/french_names/sentences.jsonl",
}


def rows_of(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def texts_of(file: Path) -> list[str]:
    return [value for row in rows_of(file) for value in row.values()]


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real facts about restaurants and sentences, few enough for a second or two."""
    file = tmp_path_factory.mktemp("facts") / "facts.jsonl"
    file.write_text("".join(RESTAURANTS.read_text().splitlines(keepends=True)[:160]))
    return file


def check_written(cli: Callable[..., Any], folder: Path, report: Report, source: Path) -> None:
    """Check that the exported model writes for the report's samples what the report says."""
    assert report.details is not None
    samples = [sample for sample in report.details.samples if not sample.predicted.endswith(" …")]
    assert samples
    inputs = [rows_of(source)[sample.place.line - 1] for sample in samples if sample.place]
    ended = cli("predict", folder, "-", stdin="".join(json.dumps(row) + "\n" for row in inputs).encode())
    assert ended.code == 0, ended.err
    assert [event["output"] for event in ended.events] == [sample.predicted for sample in samples]


@pytest.mark.parametrize(
    ("kind", "method", "output"),
    [
        ("t5", {"type": "Full"}, {}),
        ("t5", {"type": "LoRA"}, {}),
        ("t5", {"type": "LoRA", "lora": {"rank": 4}}, {"mergeAdapter": True}),
        ("bart", {"type": "Full"}, {}),
        ("bart", {"type": "LoRA"}, {}),
    ],
)
def test_it_learns_and_the_export_writes_the_same(
    kind: str,
    method: dict[str, Any],
    output: dict[str, Any],
    facts: Path,
    encoder_decoder: Callable[..., Path],
    writing_job: Callable[..., str],
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = encoder_decoder(kind, texts_of(facts))
    training = {"epochs": 3, "learningRate": 0.004, "batchSize": 8}
    if method["type"] == "LoRA":
        training |= {"epochs": 5, "learningRate": 0.02 if kind == "t5" else 0.01}
    ended = cli("run", writing_job(model, facts, method=method, output=output, training=training), "--json")
    assert ended.code == 0, ended.err
    report = ended.report
    tuned, baseline = report.evaluation.metrics, report.evaluation.baseline
    assert tuned["evalLoss"] < baseline["evalLoss"] - 0.5
    if (kind, method["type"]) != ("bart", "LoRA"):  # its output layer is its input's, and random: LoRA leaves it so
        assert tuned["rouge1"] > baseline["rouge1"]
    assert set(tuned) == {"evalLoss", "perplexity", "exactMatch", "f1", "rouge1", "rougeL", "chrF"}
    assert report.parameters is not None
    assert (report.parameters.trainable == report.parameters.total) == (method["type"] == "Full")
    assert (ended.folder / "model/adapter_config.json").exists() == (method["type"] == "LoRA" and not output)
    check_written(cli, ended.folder, report, facts)
    code = re.search(r"```python\n(.*?)```", (ended.folder / "README.md").read_text(), flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(ended.folder)
    exec(code.group(1), {})  # noqa: S102 -- the card's code is what is on trial


@pytest.mark.slow
def test_real_facts_become_sentences(
    encoder_decoder: Callable[..., Path], writing_job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    model = encoder_decoder("t5", texts_of(RESTAURANTS), vocabulary=600)
    training = {"epochs": 8, "learningRate": 0.004, "batchSize": 8, "earlyStopping": {"patience": 0}}
    evaluation = {"generation": {"maxNewTokens": 48}, "gates": [{"metric": "rougeL", "minImprovement": 0.25}]}
    ended = cli("run", writing_job(model, RESTAURANTS, training=training, evaluation=evaluation), "--json")
    assert ended.code == 0, ended.err  # the gate passed, on rows that training never saw
    assert ended.report.evaluation.metrics["chrF"] > 0.35
    losses = [point.validation["evalLoss"] for point in ended.report.curves if point.validation]
    assert losses[-1] < losses[0] / 2
    assert ended.report.data is not None
    lengths = ended.report.data.splits["train"].target_lengths
    assert lengths is not None
    assert lengths.limit == 32
    assert any("maxTargetLength" in warning for warning in ended.report.data.warnings) == bool(lengths.truncated)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["es", "fr", "ru", "zh"])
def test_answers_in_other_languages(
    language: str, encoder_decoder: Callable[..., Path], writing_job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    """A model this small with random weights can only learn its rows by heart; that is what is measured."""
    source = QUESTIONS[language]
    model = encoder_decoder("t5", texts_of(source), vocabulary=900)
    blocks = {
        "data": {
            "columns": {"question": "question", "target": "answer"} if language != "fr" else {},
            "split": {"validation": 0, "test": 0},
            "maxRows": 24,
        },
        "training": {"epochs": 30, "learningRate": 0.005, "batchSize": 8},
        "evaluation": {"generation": {"maxNewTokens": 24}},
    }
    ended = cli("run", writing_job(model, source, **blocks), "--json")
    assert ended.code == 0, ended.err
    assert ended.report.evaluation.metrics["f1"] > ended.report.evaluation.baseline["f1"] + 0.3
    check_written(cli, ended.folder, ended.report, source)


def test_the_recipe_runs_with_a_small_model(
    encoder_decoder: Callable[..., Path], cli: Callable[..., Any], tmp_path: Path
) -> None:
    model = encoder_decoder("t5", texts_of(QUESTIONS["en"])[:90], vocabulary=600)
    recipe = ROOT / "examples/recipes/answer-questions-with-t5.yaml"
    changes = {
        "model.uri": model.as_uri(),
        "output.uri": tmp_path.as_uri(),
        "training.maxSteps": 4,
        "evaluation.generation.maxNewTokens": 6,
        "data.maxRows": 24,
    }
    arguments = [part for path, value in changes.items() for part in ("--set", f"spec.{path}={value}")]
    ended = cli("run", recipe, "--json", *arguments)
    assert ended.code == 0, ended.err
    report = ended.report
    assert report.data is not None
    assert report.data.columns == {"question": "question", "context": "context", "target": "text"}
    assert report.evaluation.metrics["evalLoss"] < report.evaluation.baseline["evalLoss"]
    config = json.loads((ended.folder / "model/generation_config.json").read_text())
    assert (config["num_beams"], config["no_repeat_ngram_size"], config["early_stopping"]) == (4, 2, True)
    check_written(cli, ended.folder, report, QUESTIONS["en"])


def test_the_best_state_can_be_chosen_by_what_is_written(
    facts: Path, encoder_decoder: Callable[..., Path], writing_job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    model = encoder_decoder("t5", texts_of(facts))
    evaluation = {"metric": "chrF", "evalSteps": 4, "generation": {"maxNewTokens": 12}}
    ended = cli("run", writing_job(model, facts, training={"maxSteps": 8}, evaluation=evaluation), "--json")
    assert ended.code == 0, ended.err
    points = [point for point in ended.report.curves if point.validation]
    assert [point.step for point in points] == [0, 4, 8]
    assert all("chrF" in point.validation for point in points)
    best = ended.report.evaluation.best
    assert best is not None
    assert best.value == max(point.validation["chrF"] for point in points[1:])
