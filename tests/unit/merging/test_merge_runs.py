"""Whole merges of tiny results: the model is what the formula says, and everything about it is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetune_api.manifest import Manifest

Cli = Callable[..., Any]
Pair = tuple[Path, Path]
Job = Callable[..., str]
Run = Callable[[str], Any]
LAYER = "bert.encoder.layer.0.output.dense.weight"


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model" / "model.safetensors")


def test_the_mean_of_two_equal_models_has_the_same_bits(
    tuned: Callable[..., Path], merged: Run, merge_job: Job
) -> None:
    first, second = tuned("first"), tuned("second")
    ended = merged(merge_job({"uri": first.as_uri(), "weight": 1}, {"uri": second.as_uri(), "weight": 2}))
    one, mean = weights(first), weights(ended.folder)
    assert one.keys() == mean.keys()
    assert all(one[name].equal(mean[name]) for name in one)
    assert ended.report.merge.sources[0].metrics == ended.report.evaluation.metrics


def test_a_mean_of_whole_models(pair: Pair, merged: Run, merge_job: Job) -> None:
    first, second = pair
    ended = merged(merge_job({"uri": first.as_uri(), "weight": 3}, {"uri": (second / "model").as_uri()}))
    one, other, mean = weights(first), weights(second), weights(ended.folder)
    assert (one[LAYER] - other[LAYER]).abs().max() > 1e-3
    assert all(mean[name].sub(0.75 * one[name] + 0.25 * other[name]).abs().max() < 1e-6 for name in one)
    report = ended.report
    assert [source.share for source in report.merge.sources] == [0.75, 0.25]
    assert [source.job for source in report.merge.sources] == ["full-1", "full-2"]
    losses = [source.metrics["evalLoss"] for source in report.merge.sources]
    assert losses[0] != losses[1]
    assert report.evaluation.baseline["evalLoss"] not in losses
    assert report.data.splits.keys() == {"test"}
    assert (report.resolved.epochs, report.parameters.trainable, report.curves) == (0, 0, [])
    manifest = Manifest.model_validate_json((ended.folder / "MANIFEST.json").read_text())
    assert [(source.uid, source.share) for source in manifest.lineage.merged] == [("uid-1", 0.75), ("uid-2", 0.25)]
    assert all(source.digest.startswith("sha256:") for source in manifest.lineage.merged)
    settings = json.loads((ended.folder / "model" / "finetune.json").read_text())
    assert settings["method"] == "Merge"
    assert settings["labels"] == ["complaint", "neither", "praise"]


def test_the_page_and_the_card_say_what_was_merged(pair: Pair, merged: Run, merge_job: Job) -> None:
    merge = {"combination": "TIES", "density": 0.3, "scale": 1.5}
    folder = merged(merge_job(*pair, merge=merge)).folder
    page, card = (folder / "report" / "index.html").read_text(), (folder / "README.md").read_text()
    for text in (page.replace("<wbr>", ""), card):
        for said in ("full-1", "full-2", "TIES", "30%", "times 1.5", "The merged model gets"):
            assert said in text, said
    assert "manifest `sha256:" in card
    assert "library_name: transformers" in card
    assert "Learning rate" not in page


def test_the_same_rows_as_the_sources_by_the_same_split(pair: Pair, merged: Run, merge_job: Job) -> None:
    """With `data.train` as the sources had it, the rows that they held out are measured, and no others."""
    rows = {"train": [{"uri": (pair[0].parents[2] / "rows.csv").as_uri()}]}
    ended = merged(merge_job(*pair, data=rows, evaluation={"baseline": False}))
    of_the_source = json.loads((pair[0] / "report" / "report.json").read_text())
    tested = of_the_source["data"]["splits"]["test"]["rows"]
    assert ended.report.data.splits.keys() == {"test"}
    assert ended.report.data.splits["test"].rows == tested
    found = ended.report.merge.sources[0].metrics
    assert found["evalLoss"] == pytest.approx(of_the_source["evaluation"]["metrics"]["evalLoss"], rel=1e-5)
    assert ended.report.evaluation.baseline == {}


def test_gates_decide(pair: Pair, cli: Cli, merge_job: Job) -> None:
    gates = [{"metric": "accuracy", "min": 1}, {"metric": "recall.praise", "min": 0}]
    ended = cli("run", merge_job(*pair, evaluation={"gates": gates}), "--json")
    assert ended.report.outcome == "GateFailed"
    assert [gate.passed for gate in ended.report.evaluation.gates] == [False, True]
    assert Manifest.model_validate_json((ended.folder / "MANIFEST.json").read_text()).outcome == "GateFailed"


def test_an_old_skill_and_a_batch_of_rows(pair: Pair, merged: Run, merge_job: Job) -> None:
    skill = {"data": [{"uri": "file://./rows.csv"}]}
    ended = merged(merge_job(*pair, evaluation={"retention": skill}, predict={"input": "file://./rows.csv"}))
    metrics = ended.report.evaluation.metrics
    assert metrics["retention.evalLoss"] == pytest.approx(metrics["evalLoss"], rel=1e-6)
    alone = ended.report.merge.sources[1].metrics
    assert alone["retention.evalLoss"] == pytest.approx(alone["evalLoss"], rel=1e-6)
    assert len((ended.folder / "predictions.jsonl").read_text().splitlines()) == 216


def test_a_finished_merge_is_not_made_again(pair: Pair, cli: Cli, merge_job: Job) -> None:
    job = merge_job(*pair)
    uid = ("--set", "metadata.uid=again")
    first = cli("run", job, "--json", *uid)
    assert first.code == 0, first.out[-2000:]
    written = {file: file.stat().st_mtime_ns for file in first.folder.rglob("*.safetensors")}
    second = cli("run", job, "--json", *uid)
    assert second.code == 0
    assert "its result stands" in second.out
    assert {file: file.stat().st_mtime_ns for file in first.folder.rglob("*.safetensors")} == written


def test_inputs_that_all_sources_share_are_what_new_rows_are_compared_with(
    pair: Pair, merged: Run, merge_job: Job, cli: Cli, data: Path
) -> None:
    folder = merged(merge_job(*pair)).folder
    carried, own = (json.loads((place / "model" / "drift.json").read_text()) for place in (folder, pair[0]))
    assert carried["answers"]["rows"] == 216, "what the merged model says of the rows of the merge"
    assert carried["answers"] != own["answers"]
    assert {**carried, "answers": None} == {**own, "answers": None}
    assert "trained on the same inputs" in (folder / "report" / "index.html").read_text()
    assert cli("drift", folder, data).code == 0


@pytest.mark.causes("ModelNotFound")
def test_sources_of_different_inputs_have_no_statistics_in_common(
    pair: Pair, tuned: Callable[..., Path], merged: Run, merge_job: Job, cli: Cli, data: Path
) -> None:
    ended = merged(merge_job(pair[0], tuned("another")))
    assert not ended.report.merge.drift_reference
    assert not (ended.folder / "model" / "drift.json").exists()
    assert "has no statistics for" in (ended.folder / "report" / "index.html").read_text()
    compared = cli("drift", ended.folder, data)
    assert compared.code == 66
    assert "merged of results that were trained on different rows" in compared.err
    assert "lineage.merged" in compared.err


def test_what_validate_foretells(pair: Pair, cli: Cli, merge_job: Job) -> None:
    ended = cli("validate", merge_job(*pair, merge={"combination": "DARETIES"}))
    assert ended.code == 0, ended.err
    assert "none: 2 results are merged by DARETIES" in ended.out
    assert "216" in ended.out
    assert ended.out.splitlines()[-1] == "valid"


@pytest.mark.slow
def test_halves_of_the_data_become_one_classifier(
    tuned: Callable[..., Path], merged: Run, merge_job: Job, data: Path
) -> None:
    """Each half is learned from the same start; the mean of both is better than the base model by far."""
    header, *lines = data.read_text().splitlines(keepends=True)
    held_out = lines[::7]
    rest = [line for line in lines if line not in held_out]
    for name, part in {"one.csv": rest[::2], "two.csv": rest[1::2], "test.csv": held_out}.items():
        (data.parent / name).write_text("".join([header, *part]))
    training, test = {"epochs": 8, "learningRate": 0.005, "batchSize": 16}, [{"uri": "file://./test.csv"}]
    halves = [
        tuned(half, training=training, data={"train": [{"uri": f"file://./{half}.csv"}], "test": test})
        for half in ("one", "two")
    ]
    report = merged(merge_job(*halves, data={"test": test})).report
    alone = [source.metrics["accuracy"] for source in report.merge.sources]
    assert report.evaluation.metrics["accuracy"] > report.evaluation.baseline["accuracy"] + 0.2
    assert report.evaluation.metrics["accuracy"] >= min(alone) - 0.15
