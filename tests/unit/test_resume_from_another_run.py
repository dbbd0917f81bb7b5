"""`checkpoints.resumeFrom`: a new job continues the training of one that did not come to its end."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetune_api.fields import fields
from finetune_api.manifest import Manifest
from finetune_api.report import Report
from finetune_trainer.checkpoints.spec_difference import MAY_DIFFER, differences

DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.1}
SETTINGS: dict[str, dict[str, Any]] = {
    "method": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8, "dropout": 0.2}},
    "training": {"maxSteps": 12, "batchSize": 16, "earlyStopping": {"patience": 0}},
    "evaluation": {"evalSteps": 4},
    "checkpoints": {"saveSteps": 3, "keepLast": 9},
}


@pytest.fixture
def write(job: Callable[..., str], tiny_model: Callable[..., Path]) -> Callable[..., str]:
    """A function that writes a job with dropout, which a wrong state of the random generators would show in."""

    def made(name: str, **blocks: dict[str, Any]) -> str:
        laid = {block: {**SETTINGS.get(block, {}), **blocks.get(block, {})} for block in {*SETTINGS, *blocks}}
        return job(name, model=tiny_model("bert", **DROPOUT).as_uri(), **laid)

    return made


@pytest.fixture
def left(write: Callable[..., str], cli: Callable[..., Any], tmp_path: Path) -> Path:
    """The output of a run that failed at its end, since a folder is where its model card should go."""
    folder = tmp_path / "out/old/one"
    (folder / "README.md").mkdir(parents=True)
    assert cli("run", write("old"), "--uid", "one").code != 0
    (folder / "README.md").rmdir()
    return folder


def steps_of(folder: Path) -> list[int]:
    return sorted(int(file.parent.name) for file in folder.glob("checkpoints/*/*/MANIFEST.json"))


def without_newer(folder: Path, step: int) -> None:
    """Take away the checkpoints after `step`, as if the run had been killed then."""
    for file in folder.glob("checkpoints/*/*/MANIFEST.json"):
        if int(file.parent.name) > step:
            file.unlink()


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights_of(folder: Path) -> dict[str, bytes]:
    (file,) = (folder / "model").glob("*.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}


def figures(report: Report) -> Any:
    return report.curves, report.evaluation, report.details, report.throughput["paddingRatio"]


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def test_it_ends_as_if_it_had_never_stopped(
    left: Path, write: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    assert steps_of(left) == [3, 6, 9, 12]
    without_newer(left, 6)
    before = content_of(left)
    whole = cli("run", write("whole"), "--json")
    path = write("new", output={"uri": "file://./elsewhere"}, checkpoints={"resumeFrom": {"uri": left.as_uri()}})
    ended = cli("run", path, "--uid", "two", "--json")
    assert (whole.code, ended.code) == (0, 0), ended.events[-1]
    assert of_kind(ended.events, "resume") == [{"event": "resume", "step": 6, "attempt": 1}]
    assert of_kind(ended.events, "progress")[0]["step"] == 7
    assert figures(ended.report) == figures(whole.report)
    assert weights_of(ended.folder) == weights_of(whole.folder)
    assert content_of(left) == before
    assert ended.report.resumed_from == 6
    manifest = Manifest.model_validate_json((tmp_path / "elsewhere/new/two/MANIFEST.json").read_bytes())
    for lineage in (ended.report.lineage, manifest.lineage):
        assert lineage is not None
        run = lineage.resumed_run
        assert run is not None
        assert (run.job, run.uid, run.step) == ("old", "one", 6)
        assert run.uri == (left / "checkpoints/1/6").as_uri()
    assert "from step 6" in (ended.folder / "README.md").read_text()
    assert "step 6 of old" in (ended.folder / "report/index.html").read_text()
    assert '"resumedRun"' not in (whole.folder / "MANIFEST.json").read_text(), "older trainers do not know it"


@pytest.mark.slow
def test_the_command_line_names_a_folder_and_its_own_checkpoints_go_first(
    left: Path, write: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    without_newer(left, 3)
    path = write("new")
    blocked = tmp_path / "out/new/two/README.md"
    blocked.mkdir(parents=True)
    assert cli("run", path, "--uid", "two", "--resume-from", str(left)).code != 0
    blocked.rmdir()
    assert steps_of(tmp_path / "out/new/two") == [6, 9, 12]
    manifest = json.loads(next((tmp_path / "out/new/two").glob("checkpoints/*/6/MANIFEST.json")).read_text())
    assert (manifest["resumedFrom"], manifest["lineage"]["resumedRun"]["uid"]) == (3, "one")
    for file in left.rglob("MANIFEST.json"):
        file.unlink()
    ended = cli("run", path, "--uid", "two", "--resume-from", str(left), "--resume", "--json")
    assert ended.code == 0, ended.events[-1]
    assert of_kind(ended.events, "resume")[0]["step"] == 12
    assert ended.report.lineage is not None
    assert ended.report.lineage.resumed_run is not None
    assert ended.report.lineage.resumed_run.step == 3, "where this run itself came from"


@pytest.mark.slow
def test_more_steps_than_the_other_run_had(left: Path, write: Callable[..., str], cli: Callable[..., Any]) -> None:
    """With a constant rate a run of 12 steps is the beginning of one of 15."""
    constant = {"lrSchedulerType": "Constant", "warmupRatio": 0.0}
    whole = cli("run", write("whole", training={**constant, "maxSteps": 15}), "--json")
    first = left.parents[1] / "steady/one"
    (first / "README.md").mkdir(parents=True)
    assert cli("run", write("steady", training=constant), "--uid", "one").code != 0
    ended = cli("run", write("new", training={**constant, "maxSteps": 15}), "--resume-from", str(first), "--json")
    assert ended.code == 0, ended.events[-1]
    assert of_kind(ended.events, "resume")[0]["step"] == 9, "at 12 its training was over, without the optimizer"
    assert any("training of 12 steps is over" in event["text"] for event in of_kind(ended.events, "warning"))
    assert weights_of(ended.folder) == weights_of(whole.folder)


def test_the_rate_follows_the_schedule_of_the_new_length(
    left: Path, write: Callable[..., str], cli: Callable[..., Any]
) -> None:
    """`Linear`, as transformers has it: the rate of step n of N is (N - n + 1) / N of the peak, after no warm-up."""
    without_newer(left, 6)
    linear = {"lrSchedulerType": "Linear", "warmupRatio": 0.0}
    (left.parents[1] / "falling/one/README.md").mkdir(parents=True)
    assert cli("run", write("falling", training=linear), "--uid", "one").code != 0
    other = left.parents[1] / "falling/one"
    without_newer(other, 6)
    ended = cli("run", write("new", training={**linear, "maxSteps": 20}), "--resume-from", str(other), "--json")
    rates = {point.step: point.learning_rate for point in ended.report.curves if point.learning_rate}
    whole = cli("run", write("whole", training={**linear, "maxSteps": 20}), "--json")
    expected = {point.step: point.learning_rate for point in whole.report.curves if point.learning_rate}
    assert {step: rate for step, rate in rates.items() if step > 6} == pytest.approx(
        {step: rate for step, rate in expected.items() if step > 6}
    )
    assert rates[6] != expected[6]


@pytest.mark.causes("SpecInvalid")
def test_what_makes_it_another_training_is_refused_by_field(
    left: Path, write: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    path, before = write("new"), content_of(left)

    def refused(*arguments: str) -> str:
        for command in (("run", path, "--uid", "two"), ("validate", path)):
            setting = ["--set", f"checkpoints.resumeFrom.uri={left.as_uri()}"]
            ended = cli(*command, *setting, *arguments)
            assert ended.code == 64, (command, ended.out, ended.err)
        return " ".join(ended.err.split())

    err = refused("--set", "training.learningRate=0.1", "--set", "method.lora.rank=8")
    assert "SpecInvalid (exit code 64, 2 problems)" in err
    assert "spec.training.learningRate: 0.1, and the run to resume has 0.003" in err
    assert "spec.method.lora.rank: 8, and the run to resume has 4" in err
    rows = tmp_path / "rows.csv"
    rows.write_text(rows.read_text() + "The window is fine at home.,neither\n")
    assert re.search(r"spec\.data\.train: the rows are others \(\w{12}\) than in the run to resume", refused())
    assert content_of(left) == before


@pytest.mark.causes("SpecInvalid")
def test_another_base_model_is_refused(
    left: Path, write: Callable[..., str], cli: Callable[..., Any], tiny_model: Callable[..., Path]
) -> None:
    other = tiny_model("bert", **DROPOUT, initializer_range=0.05)
    ended = cli("run", write("new"), "--resume-from", str(left), "--set", f"model.uri={other.as_uri()}")
    assert ended.code == 64, ended.err
    assert "spec.model.uri: the weights of the base model are others" in " ".join(ended.err.split())


def test_what_says_how_and_where_may_differ(
    left: Path, write: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").rename(tmp_path / "moved.csv")
    changed = [
        "training.perDeviceBatchSize=4",
        "checkpoints.saveSteps=5",
        "evaluation.gates=[{metric: accuracy, min: 0}]",
    ]
    changed += ["runPolicy.backoffLimit=9", "data.train[0].uri=file://./moved.csv", "training.epochs=7"]
    settings = [word for setting in changed for word in ("--set", setting)]
    ended = cli("run", write("new"), "--resume-from", str(left), *settings, "--json")
    assert ended.code == 0, ended.events[-1]
    assert of_kind(ended.events, "resume")[0]["step"] == 12


@pytest.mark.causes("CheckpointNotFound")
def test_a_run_without_checkpoints_is_told_before_anything_is_loaded(
    write: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    finished = cli("run", write("finished"), "--json")
    cases = {tmp_path / "nowhere": "there is no checkpoint in", finished.folder: "its checkpoints ended with it"}
    for folder, words in cases.items():
        for command in ("run", "validate"):
            path = write("new", checkpoints={"resumeFrom": {"uri": folder.as_uri()}})
            ended = cli(command, path, "--set", "model.uri=file://./no-such-model")
            assert ended.code == 66, (command, ended.err)
            assert "spec.checkpoints.resumeFrom.uri: " in ended.err
            assert words in " ".join(ended.err.split())
    assert not list((tmp_path / "out/new").rglob("checkpoints"))


@pytest.mark.causes("CheckpointNotFound")
def test_damage_is_passed_over_and_never_started_anew(
    left: Path, write: Callable[..., str], cli: Callable[..., Any]
) -> None:
    def damage(step: int) -> None:
        (file,) = left.glob(f"checkpoints/*/{step}/weights.safetensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

    damage(12)
    path = write("new")
    ended = cli("run", path, "--resume-from", str(left), "--json")
    assert of_kind(ended.events, "resume")[0]["step"] == 9
    for step in (3, 6, 9):
        damage(step)
    ended = cli("run", path, "--resume-from", str(left))
    assert ended.code == 66
    assert "none of the checkpoints in" in ended.err


def test_the_fields_that_may_differ_are_fields() -> None:
    known = {path.removeprefix("spec.") for path in fields()}
    assert set(MAY_DIFFER) <= known


def test_differences_are_told_leaf_by_leaf() -> None:
    there = {"data": {"train": [{"uri": "a", "weight": 1.0}]}, "training": {"seed": 1, "epochs": 2}, "method": None}
    now = {"data": {"train": [{"uri": "b", "weight": 2.0}, {"uri": "c"}]}, "training": {"seed": 1}, "method": {}}
    assert list(differences(there, now)) == [("spec.data.train[0].weight", "1.0", "2.0")]
    secret = {"data": {"train": [{"uri": "a", "secretRef": {"name": "keys"}, "weight": 1.0}]}}
    assert [field for field, *_ in differences(there, secret)] == ["spec.training.seed"]
    skills = [{"evaluation": {"retention": {"data": [{"uri": uri, "format": "CSV"}]}}} for uri in ("a", "b")]
    assert list(differences(*skills)) == []
