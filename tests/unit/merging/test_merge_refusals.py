"""What can't be merged is refused before anything is loaded, in words that name both."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Pair = tuple[Path, Path]
Tuned = Callable[..., Path]
Merged = Callable[..., str]


def refused(cli: Cli, job: str, command: str = "run") -> tuple[str, dict[str, str]]:
    """Code and first problem of a job that fails."""
    ended = cli(command, job, "--json")
    assert ended.code != 0
    failure = ended.events[-1]
    failure = failure.get("failure", failure)
    return failure["code"], failure["problems"][0]


def altered(output: Path, folder: Path, file: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of an output with another `file`, as if its job had written that: the manifest agrees with it."""
    copy = folder / "altered"
    shutil.copytree(output, copy)
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    manifest = json.loads((copy / "MANIFEST.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == file:
            written = (copy / file).read_bytes()
            entry.update(size=len(written), sha256=hashlib.sha256(written).hexdigest())
    (copy / "MANIFEST.json").write_text(json.dumps(manifest))
    return copy


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize("command", ["run", "validate"])
def test_results_of_another_base(
    command: str, cli: Cli, tuned: Tuned, pair: Pair, merge_job: Merged, tiny_model: Callable[..., Path]
) -> None:
    first = pair[0]
    second = tuned("second", model=tiny_model("bert", labels=3).as_uri())
    code, problem = refused(cli, merge_job(first, second), command)
    assert code == "SpecInvalid"
    assert problem["where"].endswith("spec.method.merge.sources[1].uri")
    assert all(str(part) in problem["message"] for part in (first, second, "the base model"))


def test_a_base_that_is_not_theirs(cli: Cli, pair: Pair, merge_job: Merged, tiny_model: Callable[..., Path]) -> None:
    first, second = pair
    other = tiny_model("bert", labels=3).as_uri()
    code, problem = refused(cli, merge_job(first, second, model=other))
    assert (code, problem["where"]) == ("SpecInvalid", "spec.method.merge.sources[0].uri")
    assert str(first) in problem["message"]
    assert other in problem["message"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["neither", "complaint", "praise"]}, "the labels neither, complaint, praise"),
        ({"maxLength": 32}, "the longest input 32"),
        ({"task": "RewardModel"}, "the task RewardModel"),
        ({"promptTemplate": "Q: {prompt}"}, "the prompt template Q: {prompt}"),
    ],
)
def test_results_of_another_kind(
    change: dict[str, Any], said: str, cli: Cli, pair: Pair, merge_job: Merged, tmp_path: Path
) -> None:
    first = pair[0]
    second = altered(pair[1], tmp_path, "model/finetune.json", lambda settings: settings.update(change))
    code, problem = refused(cli, merge_job(first, second), "validate")
    assert code == "SpecInvalid"
    assert said in problem["message"]
    assert str(first) in problem["message"]
    assert str(second) in problem["message"]


def test_results_with_other_tokenizers(cli: Cli, pair: Pair, merge_job: Merged, tmp_path: Path) -> None:
    def cased(rules: dict[str, Any]) -> None:
        rules["normalizer"]["lowercase"] = False

    first = pair[0]
    second = altered(pair[1], tmp_path, "model/tokenizer.json", cased)
    code, problem = refused(cli, merge_job(first, second))
    assert code == "SpecInvalid"
    assert "different tokenizers" in problem["message"]


@pytest.mark.causes("ModelUnsuitable")
def test_what_is_no_result(cli: Cli, pair: Pair, merge_job: Merged, tiny_model: Callable[..., Path]) -> None:
    code, problem = refused(cli, merge_job(pair[0], tiny_model("bert")), "validate")
    assert (code, problem["where"]) == ("ModelUnsuitable", "spec.method.merge.sources[1].uri")
    assert "is not the result of a job" in problem["message"]


def test_virtual_tokens(cli: Cli, pair: Pair, result: Tuned, merge_job: Merged) -> None:
    code, problem = refused(cli, merge_job(pair[0], result("prompt")), "validate")
    assert (code, problem["where"]) == ("ModelUnsuitable", "spec.method.merge.sources[1].uri")
    assert "PROMPT_TUNING" in problem["message"]


@pytest.mark.causes("ModelChanged")
def test_a_result_that_was_changed(cli: Cli, pair: Pair, merge_job: Merged, tmp_path: Path) -> None:
    first, second = pair[0], shutil.copytree(pair[1], tmp_path / "changed")
    weights = second / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, problem = refused(cli, merge_job(first, second))
    assert (code, problem["where"]) == ("ModelChanged", "spec.method.merge.sources[1].uri")


@pytest.mark.causes("ModelNotFound")
def test_a_result_that_is_not_there(cli: Cli, pair: Pair, merge_job: Merged, tmp_path: Path) -> None:
    code, problem = refused(cli, merge_job(pair[0], tmp_path / "nowhere"), "validate")
    assert (code, problem["where"]) == ("ModelNotFound", "spec.method.merge.sources[1].uri")


def test_heads_of_different_kinds(cli: Cli, pair: Pair, result: Tuned, merge_job: Merged) -> None:
    code, problem = refused(cli, merge_job(pair[0], result("deep")))
    assert (code, problem["where"]) == ("ModelUnsuitable", "spec.method.merge.sources[1].uri")
    assert "classifier" in problem["message"]


@pytest.mark.parametrize(
    ("blocks", "where"),
    [
        ({"training": {"epochs": 3}}, "spec.training.epochs"),
        ({"training": {"earlyStopping": {"patience": 9}}}, "spec.training.earlyStopping"),
        ({"checkpoints": {"saveSteps": 5}}, "spec.checkpoints"),
        ({"evaluation": {"metric": "accuracy"}}, "spec.evaluation.metric"),
        ({"task": "RewardModel"}, "spec.task"),
        ({"data": {"test": [{"uri": "file://./rows.csv"}], "labels": {"names": ["a", "b"]}}}, "spec.data.labels.names"),
        ({"data": {"test": [{"uri": "file://./rows.csv"}], "maxLength": 16}}, "spec.data.maxLength"),
        (
            {"data": {"test": [{"uri": "file://./rows.csv"}], "labels": {"problemType": "MultiLabel"}}},
            "spec.data.labels.problemType",
        ),
    ],
)
def test_settings_that_mean_nothing_or_something_else(
    blocks: dict[str, Any], where: str, cli: Cli, pair: Pair, merge_job: Merged
) -> None:
    code, problem = refused(cli, merge_job(*pair, **blocks), "validate")
    assert code == "SpecInvalid"
    assert problem["where"].endswith(where)


def test_a_source_that_is_named_twice(cli: Cli, merge_job: Merged, tmp_path: Path) -> None:
    code, problem = refused(cli, merge_job(tmp_path / "one", tmp_path / "one" / "model"), "validate")
    assert code == "SpecInvalid"
    assert "is named twice" in problem["message"]


def test_a_volume_of_a_cluster(cli: Cli, merge_job: Merged, tmp_path: Path) -> None:
    code, problem = refused(cli, merge_job(tmp_path / "one", {"uri": "pvc://results/two"}))
    assert code == "SpecInvalid"
    assert problem["where"].endswith("spec.method.merge.sources[1].uri")
