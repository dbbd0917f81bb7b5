"""Whole runs in processes of their own that are killed or stopped anywhere, and go on as if they never were."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetune_api.outcome import Outcome
from finetune_api.report import Report

PROGRAM = [sys.executable, "-m", "finetune_trainer"]
METHODS: dict[str, dict[str, Any]] = {
    "LoRA": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8, "dropout": 0.2}},
    "HiddenLayer": {"type": "FeatureExtraction", "featureExtraction": {"headHiddenSize": 24, "headDropout": 0.3}},
}
"""Those with randomness of their own; `matrix` stops and goes on with all the others."""
DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.1}
Running = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run() -> Iterator[Running]:
    """A function that starts `finetune-trainer run` with JSON lines."""
    started = list[subprocess.Popen[str]]()

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*PROGRAM, "run", *arguments, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 -- no threads
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """All events up to the one that is wanted."""
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if wanted(events[-1]):
            return events
    raise AssertionError(f"it never came: {events[-3:]}, {process.communicate()}")


def rest(process: subprocess.Popen[str], code: int) -> list[dict[str, Any]]:
    """All further events of a run that ends with `code`."""
    out, err = process.communicate(timeout=120)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == code, (events[-2:], err)
    return events


def is_step(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "progress" and event["step"] >= number


def is_saved(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "checkpoint" and event["step"] >= number


def of_kind(events: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] in kinds]


def report_of(events: list[dict[str, Any]]) -> Report:
    return Report.model_validate(of_kind(events, "result")[0]["report"])


def folder_of(events: list[dict[str, Any]]) -> Path:
    return Path(of_kind(events, "result")[0]["output"].removeprefix("file://"))


def figures(report: Report) -> Any:
    """What must be the same however often a run was killed."""
    return (report.curves, report.evaluation, report.details, report.verdict, report.throughput["paddingRatio"])


def weights_of(folder: Path) -> dict[str, bytes]:
    (file,) = (folder / "model").glob("*.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_killed_ends_as_if_it_never_was(
    method: str, job: Callable[..., str], tiny_model: Callable[..., Path], run: Running
) -> None:
    path = job(
        model=tiny_model("bert", **DROPOUT).as_uri(),
        method=METHODS[method],
        training={"epochs": 4, "batchSize": 16, "perDeviceBatchSize": 5, "earlyStopping": {"patience": 2}},
        evaluation={"evalSteps": 7},
        checkpoints={"saveSteps": 5, "keepBest": 0},
    )
    whole = run(path, "--uid", "whole")
    expected = rest(whole, 0)
    total = of_kind(expected, "progress")[0]["totalSteps"]
    assert total > 30

    first = run(path, "--uid", "killed")
    until(first, is_saved(10))
    first.kill()
    first.communicate()
    second = run(path, "--resume", "--uid", "killed")
    events = until(second, is_saved(20))
    (resumed,) = of_kind(events, "resume")
    assert resumed["attempt"] == 1
    assert resumed["step"] % 5 == 0
    assert resumed["step"] >= 10
    assert of_kind(events, "progress")[0]["step"] == resumed["step"] + 1
    second.kill()
    second.communicate()
    third = run(path, "--resume", "--uid", "killed")
    ended = rest(third, 0)
    assert of_kind(ended, "resume")[0]["step"] >= 20
    assert [event["what"] for event in of_kind(ended, "working")].count("baseline") == 0, "it is known already"
    assert figures(report_of(ended)) == figures(report_of(expected))
    assert weights_of(folder_of(ended)) == weights_of(folder_of(expected))
    assert report_of(ended).attempt == 3
    assert report_of(ended).resumed_from == of_kind(ended, "resume")[0]["step"]


ENDLESS = {"epochs": 10_000, "earlyStopping": {"patience": 0}}


@pytest.mark.slow
@pytest.mark.causes("Stopped")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_saves_its_step_first(number: int, job: Callable[..., str], run: Running) -> None:
    path = job(training=ENDLESS, evaluation={"evalSteps": 10_000}, checkpoints={"saveSteps": 1_000_000})
    process = run(path)
    before = until(process, is_step(3))
    process.send_signal(number)
    events = [*before, *rest(process, 85)]
    assert [event["event"] for event in events[-2:]] == ["result", "failure"]
    last = max(event["step"] for event in of_kind(events, "progress"))
    (saved,) = of_kind(events, "checkpoint")
    assert saved["step"] == last
    assert (events[-1]["code"], events[-1]["class"]) == ("Stopped", "Stopped")
    assert f"step {last} is safe in a checkpoint" in events[-1]["problems"][0]["message"]
    report = report_of(events)
    assert report.outcome is Outcome.STOPPED
    assert report.data is not None
    uid = folder_of(events).name
    hint = events[-1]["problems"][0]["hint"]
    assert hint == f"resume with: finetune-trainer run {path} --resume --uid {uid}"

    again = run(*hint.removeprefix("resume with: finetune-trainer run ").split())
    found = until(again, is_step(0))
    assert of_kind(found, "resume") == [{"event": "resume", "step": last, "attempt": 1}]
    assert found[-1]["step"] == last + 1


@pytest.mark.slow
def test_resume_finds_the_newest_unfinished_run_of_the_same_spec(job: Callable[..., str], run: Running) -> None:
    path = job(training=ENDLESS, evaluation={"evalSteps": 10_000}, checkpoints={"saveSteps": 2})
    uids = []
    for _ in range(2):
        process = run(path)
        saved = until(process, is_saved(2))[-1]
        process.kill()
        process.communicate()
        uids.append(re.findall(r"/tiny/([^/]+)/", saved["uri"])[0])
    process = run(path, "--resume")
    found = of_kind(until(process, is_saved(3)), "checkpoint")[-1]
    assert f"/tiny/{max(uids)}/checkpoints/2/" in found["uri"]


@pytest.mark.causes("CheckpointNotFound")
def test_resume_without_anything_to_go_on_from(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    ended = cli("run", job(training={"maxSteps": 2}), "--resume")
    assert ended.code == 66
    assert "CheckpointNotFound (exit code 66)" in ended.err
    assert "no unfinished run of this job with a checkpoint in " in ended.err
    assert "run the job without --resume" in ended.err
    assert cli("run", job(training={"maxSteps": 2})).code == 0
    ended = cli("run", job(training={"maxSteps": 2}), "--resume")
    assert ended.code == 66, "a finished run is not gone on with"


def left(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.causes("CheckpointNotFound")
@pytest.mark.causes("OutputExists")
def test_checkpoints_that_do_not_fit_are_kept_as_they_are(
    job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    """The first run leaves its checkpoints, since a folder is where its model card should go."""
    settings = {"training": {"maxSteps": 4}, "checkpoints": {"saveSteps": 2}, "evaluation": {"baseline": False}}
    blocked = tmp_path / "out/tiny/one/README.md"
    blocked.mkdir(parents=True)
    assert cli("run", job(**settings), "--uid", "one").code != 0
    blocked.rmdir()
    folder = tmp_path / "out/tiny/one"
    before = left(folder)
    assert any(path.startswith("checkpoints/") for path in before)

    def refused(*arguments: str) -> Any:
        ended = cli("run", job(**settings), "--uid", "one", *arguments)
        assert ended.code != 0
        assert left(folder) == before
        return ended

    for how, code in ((["--resume"], "CheckpointNotFound"), ([], "OutputExists")):
        ended = refused(*how, "--set", "training.batchSize=4")
        assert ended.err.count(code) == 1
        assert "spec.training.batchSize: 32 there, 4 now" in ended.err
    rows = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(rows + "The window is fine at home.,neither\n")
    assert "were made from other rows" in refused("--resume").err
    (tmp_path / "rows.csv").write_text(rows)
    assert "no run two in" in cli("run", job(**settings), "--uid", "two", "--resume").err
    assert not (tmp_path / "out/tiny/two").exists()
    ended = cli("run", job(**settings), "--uid", "one", "--resume", "--set", "runPolicy.backoffLimit=1", "--json")
    assert ended.code == 0, ended.events[-1]
    committed = [int(path.split("/")[2]) for path in before if re.fullmatch(r"checkpoints/\d+/\d+/MANIFEST.json", path)]
    assert [event["step"] for event in of_kind(ended.events, "resume")] == [max(committed)]


@pytest.mark.parametrize("uid", ["../x", "a/b", ".hidden", "a b", "x" * 65, "a\\b", "..", "é"])
def test_a_uid_is_the_name_of_a_folder(
    uid: str, job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    ended = cli("run", job(), "--uid", uid)
    assert ended.code == 2
    assert "can't be the name of a run" in " ".join(ended.err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    path = job(training={"maxSteps": 3})
    first = cli("run", path, "--uid", "one", "--json")
    again = cli("run", path, "--resume", "--uid", "one", "--json")
    assert (first.code, again.code) == (0, 0)
    assert again.report.attempt == 1
    assert figures(again.report) == figures(first.report)
    assert of_kind(again.events, "phase") == []


@pytest.mark.slow
def test_a_signal_asks_for_a_checkpoint(job: Callable[..., str], run: Running) -> None:
    path = job(training=ENDLESS, evaluation={"evalSteps": 10_000}, checkpoints={"saveSteps": 1_000_000})
    process = run(path)
    until(process, is_step(3))
    process.send_signal(signal.SIGUSR1)
    first = until(process, is_saved(3))[-1]
    process.send_signal(signal.SIGUSR1)
    assert until(process, is_saved(first["step"] + 1))[-1]["step"] > first["step"]


@pytest.mark.slow
@pytest.mark.causes("Interrupted")
def test_who_is_stopped_before_training_has_lost_nothing(job: Callable[..., str], run: Running) -> None:
    process = run(job(training=ENDLESS))
    until(process, lambda event: event["event"] == "phase")
    process.send_signal(signal.SIGTERM)
    events = rest(process, 130)
    assert events[-1]["code"] == "Interrupted"
    assert "nothing was lost" in events[-1]["problems"][0]["message"]


@pytest.mark.slow
def test_a_stop_after_training_goes_straight_to_evaluation(
    job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    """The output can't be finished, since a folder is where the model should go: the state at the end is there."""
    path = job(training={"epochs": 2}, checkpoints={"saveSteps": 1_000_000})
    (tmp_path / "out/tiny/one/README.md").mkdir(parents=True)
    failed = cli("run", path, "--uid", "one", "--json")
    assert failed.code != 0
    (tmp_path / "out/tiny/one/README.md").rmdir()
    ended = cli("run", path, "--resume", "--uid", "one", "--json")
    assert ended.code == 0, ended.events[-1]
    assert of_kind(ended.events, "progress", "evaluation") == []
    assert of_kind(ended.events, "resume")[0]["step"] == max(
        event["step"] for event in of_kind(failed.events, "progress")
    )
    assert ended.report.curves == Report.model_validate(of_kind(failed.events, "result")[0]["report"]).curves
