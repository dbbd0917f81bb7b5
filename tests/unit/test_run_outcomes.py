"""Whole runs with a tiny model: what they leave behind, and that every kind of job gets there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.manifest import Manifest
from finetune_api.outcome import Outcome
from finetune_api.report import Report
from finetune_trainer.output.publish import list_files

METHODS = ("Full", "LoRA", "FeatureExtraction")
STEPS = {
    "Full": {"epochs": 6, "learningRate": 0.005},
    "LoRA": {"epochs": 6, "learningRate": 0.01, "batchSize": 8},
    "FeatureExtraction": {"epochs": 60, "learningRate": 0.02},
}
SCORES = {"praise": "2.5", "neither": "0.5", "complaint": "-1.5"}
LISTS = {"praise": '["good", "short"]', "neither": "[]", "complaint": '["bad"]'}


def relabelled(data: Path, labels: dict[str, str]) -> None:
    """Replace the labels, in JSON Lines where they are lists."""
    lines = [line.rpartition(",") for line in data.read_text().splitlines()[1:]]
    if all(value.startswith("[") for value in labels.values()):
        found = [json.dumps({"text": text, "label": json.loads(labels[label])}) for text, _, label in lines]
        data.with_suffix(".jsonl").write_text("\n".join(found) + "\n")
    else:
        data.write_text("text,label\n" + "".join(f"{text},{labels[label]}\n" for text, _, label in lines))


def check_output(folder: Path) -> Report:
    """Check that the output is complete and what its manifest says; return its report."""
    manifest = Manifest.model_validate_json((folder / "MANIFEST.json").read_text())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {"MANIFEST.json", "claims/1", *(entry.path for entry in manifest.files)}
    assert {"README.md", "report/report.json", "report/index.html", "model/finetune.json"} <= there
    assert {"model/config.json", "model/tokenizer.json"} <= there
    assert any(path.startswith("model/") and path.endswith(".safetensors") for path in there)
    hashes = {entry.path: entry.sha256 for entry in list_files(folder)}
    assert {entry.path: entry.sha256 for entry in manifest.files}.items() <= hashes.items()
    newest = max(folder.rglob("*"), key=lambda path: (path.stat().st_mtime_ns, path.name == "MANIFEST.json"))
    assert newest.name == "MANIFEST.json" or newest == folder
    report = Report.model_validate_json((folder / "report/report.json").read_text())
    assert report.outcome == manifest.outcome
    return report


def check_predictions(cli: Callable[..., Any], folder: Path, report: Report) -> None:
    """Check that the exported model says of the report's samples what the report says."""
    assert report.details is not None
    samples = report.details.samples
    texts = "".join(json.dumps({"text": sample.text}) + "\n" for sample in samples).encode()
    ended = cli("predict", folder, "-", stdin=texts)
    assert ended.code == 0, ended.err
    assert len(ended.events) == len(samples) > 0
    for sample, prediction in zip(samples, ended.events, strict=True):
        label = prediction["label"]
        if isinstance(label, float):
            assert label == pytest.approx(float(sample.predicted), abs=0.01)
        elif isinstance(label, list):
            assert label == [name for name in sample.predicted.split(", ") if name in prediction["scores"]]
        else:
            assert (label, prediction["score"]) == (sample.predicted, pytest.approx(sample.confidence, abs=1e-4))


@pytest.mark.parametrize("method", METHODS)
def test_single_label(method: str, job: Callable[..., str], cli: Callable[..., Any]) -> None:
    ended = cli("run", job(method={"type": method}, training=STEPS[method]), "--json")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    report = check_output(ended.folder)
    late = {"finished_at": report.finished_at, "timings": report.timings}  # exporting takes time too
    assert report == ended.report.model_copy(update=late)
    assert report.outcome is Outcome.SUCCEEDED
    tuned, baseline = report.evaluation.metrics, report.evaluation.baseline
    assert tuned["evalLoss"] < baseline["evalLoss"]
    if method != "FeatureExtraction":  # a random base has no features to speak of
        assert tuned["accuracy"] > max(0.6, baseline["accuracy"])
    check_predictions(cli, ended.folder, report)


@pytest.mark.parametrize("method", METHODS)
def test_multi_label(method: str, job: Callable[..., str], data: Path, cli: Callable[..., Any]) -> None:
    relabelled(data, LISTS)
    blocks = {"data": {"train": [{"uri": "file://./rows.jsonl"}]}, "method": {"type": method}}
    ended = cli("run", job(**blocks, training=STEPS[method]), "--json")
    assert ended.code == 0, ended.err
    report = check_output(ended.folder)
    assert report.data is not None
    assert (report.data.problem_type, report.data.label_names) == ("MultiLabel", ["bad", "good", "short"])
    assert report.evaluation.metrics["f1Micro"] > 0.4
    check_predictions(cli, ended.folder, report)


@pytest.mark.parametrize("method", METHODS)
def test_regression(method: str, job: Callable[..., str], data: Path, cli: Callable[..., Any]) -> None:
    relabelled(data, SCORES)
    ended = cli("run", job(method={"type": method}, training=STEPS[method]), "--json")
    assert ended.code == 0, ended.err
    report = check_output(ended.folder)
    before, after = report.evaluation.baseline["meanSquaredError"], report.evaluation.metrics["meanSquaredError"]
    assert after < 0.7 * before
    check_predictions(cli, ended.folder, report)


def test_a_missed_gate_keeps_the_output(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    gates = [{"metric": "accuracy", "min": 0.01}, {"metric": "recall.praise", "minImprovement": 1.9}]
    ended = cli("run", job(evaluation={"gates": gates}, training={"maxSteps": 1}))
    assert ended.code == 64
    assert "spec.evaluation.gates[1].minImprovement" in ended.err
    gates[1]["minImprovement"] = 1.0
    ended = cli("run", job(evaluation={"gates": gates}, training={"maxSteps": 1}), "--json")
    assert ended.code == 86
    report = check_output(ended.folder)
    assert [gate.passed for gate in report.evaluation.gates] == [True, False]
    assert report.outcome is Outcome.GATE_FAILED
    assert report.failure is None


def test_given_files_for_validation_and_test(job: Callable[..., str], data: Path, cli: Callable[..., Any]) -> None:
    lines = data.read_text().splitlines(keepends=True)
    parts = {"train": lines[1:151], "validation": lines[151:181], "test": lines[181:]}
    for name, part in parts.items():
        data.with_name(f"{name}.csv").write_text(lines[0] + "".join(part))
    sources = {name: [{"uri": f"file://./{name}.csv"}] for name in parts}
    ended = cli("run", job(data=sources), "--json")
    assert ended.code == 0, ended.err
    assert ended.report.data is not None
    assert {name: split.rows for name, split in ended.report.data.splits.items()} == {
        "train": 150,
        "validation": 30,
        "test": 36,
    }


@pytest.mark.parametrize(
    ("split", "evaluated_on", "has_best"),
    [
        ({"validation": 0}, "test", False),
        ({"test": 0}, "validation", True),
        ({"validation": 0, "test": 0}, "train", False),
    ],
)
def test_splits_may_be_missing(
    split: dict[str, float], evaluated_on: str, has_best: bool, job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    ended = cli("run", job(data={"split": split}), "--json")
    assert ended.code == 0, ended.err
    report = check_output(ended.folder)
    assert report.evaluated_on == evaluated_on
    assert (report.evaluation.best is not None) == has_best
    assert report.evaluation.metrics["accuracy"] > 0


def test_early_stopping_keeps_the_best_state(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    training = {"epochs": 40, "learningRate": 0.5, "earlyStopping": {"patience": 2, "minDelta": 0}}
    ended = cli("run", job(training=training), "--json")
    assert ended.code == 0, ended.err
    evaluations = [event for event in ended.events if event["event"] == "evaluation"]
    assert 2 < len(evaluations) < 40
    best = ended.report.evaluation.best
    assert best is not None
    assert best.value == min(event["metrics"]["evalLoss"] for event in evaluations)
    assert [event["step"] for event in evaluations if event["best"]][-1] == best.step


@pytest.mark.parametrize(
    "training",
    [
        {"classWeights": "Balanced"},
        {"labelSmoothing": 0.2},
        {"activationCheckpointing": True},
        {"perDeviceBatchSize": 3},
        {"maxGradNorm": 0, "weightDecay": 0, "warmupRatio": 1},
        *({"lrSchedulerType": name} for name in ("Linear", "Cosine", "Constant", "Polynomial", "InverseSqrt")),
    ],
    ids=lambda training: " ".join(map(str, next(iter(training.items())))),
)
def test_every_setting_of_training_runs(
    training: dict[str, Any], job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    blocks = {"data": {"maxRows": 60}, "evaluation": {"baseline": False}}
    ended = cli("run", job(**blocks, training={**training, "maxSteps": 4}), "--json")
    assert ended.code == 0, ended.err
    assert ended.report.evaluation.baseline == {}
    assert [event["step"] for event in ended.events if event["event"] == "progress"] == [1, 2, 3, 4]


def test_evaluation_every_few_steps(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    ended = cli("run", job(training={"maxSteps": 7}, evaluation={"evalSteps": 3}), "--json")
    assert [event["step"] for event in ended.events if event["event"] == "evaluation"] == [3, 6, 7]
    assert [point.step for point in ended.report.curves if point.validation] == [0, 3, 6, 7]


def test_a_merged_adapter_is_a_whole_model(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    blocks = {"method": {"type": "LoRA"}, "training": STEPS["LoRA"]}
    ended = cli("run", job(**blocks, output={"mergeAdapter": True}), "--json")
    assert ended.code == 0, ended.err
    assert not (ended.folder / "model/adapter_config.json").exists()
    check_predictions(cli, ended.folder, check_output(ended.folder))


def test_pairs_of_texts(job: Callable[..., str], data: Path, cli: Callable[..., Any]) -> None:
    lines = [line.split(",") for line in data.read_text().splitlines()[1:]]
    data.write_text("premise,claim,label\n" + "".join(f"{text},{text[:20]},{label}\n" for text, label in lines))
    ended = cli("run", job(data={"columns": {"text": "premise", "textPair": "claim"}}), "--json")
    assert ended.code == 0, ended.err
    assert check_output(ended.folder).details is not None
    (data.parent / "new.csv").write_text("premise,claim\nThe printer is fine,The printer\n")
    pairs = cli("predict", ended.folder, data.parent / "new.csv").events
    assert [(pair["text"], pair["textPair"]) for pair in pairs] == [("The printer is fine", "The printer")]
    swapped = cli("predict", ended.folder, "-", stdin=b'{"premise": "The printer", "claim": "The printer is fine"}\n')
    assert swapped.events[0]["scores"] != pairs[0]["scores"]


def test_the_same_seed_gives_the_same_model(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    def weights(seed: int) -> tuple[dict[str, float], str]:
        path = job(training={"seed": seed, "maxSteps": 5}, method={"type": "LoRA"})
        ended = cli("run", path, "--json")
        manifest = Manifest.model_validate_json((ended.folder / "MANIFEST.json").read_text())
        hashes = [entry.sha256 for entry in manifest.files if entry.path.endswith(".safetensors")]
        assert len(hashes) == 1
        return ended.report.evaluation.metrics, hashes[0]

    first, second, other = weights(1), weights(1), weights(2)
    assert first == second
    assert other[1] != first[1]
