"""A few kills and faults of the long run (`make chaos`), with the real trainer and a real store."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from chaos_suite import Tally, try_kills, undisturbed
from fault_cases import Case, leave_checkpoint, try_case, try_full_disk
from invariants import Reference, Violation, check_attempt, check_end, committed
from kill_plans import AtTime, AtWrite, Kill, Stop
from s3_server import S3Server
from sites import opened
from storage_faults import Kind, Moment
from trials import Site, Trial

from finetune_api.checkpoint import CHECKPOINTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("chaos") / "site", s3) as site:
        yield site


@pytest.fixture(scope="module")
def reference(site: Site) -> Reference:
    return undisturbed(site)


@pytest.fixture
def trial(site: Site, reference: Reference, request: pytest.FixtureRequest) -> Trial:  # noqa: ARG001 -- it makes imports cheap
    return Trial(site, "-".join("".join(c if c.isalnum() else " " for c in request.node.name).split())[-60:])


@pytest.mark.parametrize(
    "kills",
    [
        [AtWrite(5, Moment.DURING), AtWrite(14, Moment.AFTER), Stop(1, 60)],
        [AtTime(1.5), AtWrite(40, Moment.AFTER), AtWrite(8, Moment.BEFORE)],
    ],
    ids=lambda kills: ", ".join(map(str, kills)),
)
def test_kills_cost_nothing(trial: Trial, reference: Reference, kills: list[Kill]) -> None:
    tally = Tally()
    try_kills(trial.site, trial.uid, list(kills), reference, tally)
    assert tally.kills + tally.stops >= 1


@pytest.mark.parametrize(
    "case",
    [
        Case(Kind.LOST_ANSWER, "final manifest", lasts=False),
        Case(Kind.TRUNCATED, "resume read", lasts=False),
        Case(Kind.CUT_UPLOAD, "checkpoint file", lasts=True),
    ],
    ids=str,
)
def test_faults_that_pass_cost_nothing_and_others_are_told(trial: Trial, reference: Reference, case: Case) -> None:
    try_case(trial, case, reference)


def test_a_full_disk_is_told_and_costs_no_checkpoint(trial: Trial, reference: Reference) -> None:
    ended = try_full_disk(trial, reference)
    assert ended.told is not None
    assert ended.told.failure is not None
    assert ended.told.failure.code == "OutputNotWritable"
    assert "no room" in ended.told.failure.message


def test_what_must_not_happen_is_noticed(trial: Trial, reference: Reference) -> None:
    leave_checkpoint(trial)
    before, ended = committed(trial), trial.attempts[-1]
    newest = trial.folder / CHECKPOINTS / str(before[-1].attempt) / str(before[-1].step)
    shutil.copytree(newest, newest.with_name("999999"))
    with pytest.raises(Violation, match="says that it is"):
        committed(trial)
    shutil.rmtree(newest.with_name("999999"))
    with pytest.raises(Violation, match="ended unexpectedly"):
        check_end(trial, ended, reference)
    with pytest.raises(Violation, match="went on from another step"):
        check_attempt(trial, [replace(before[0], step=1)], ended)
    file = next(newest.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(Violation, match="not what its manifest says"):
        committed(trial)
    shutil.rmtree(newest)
    with pytest.raises(Violation, match="committed steps were lost"):
        check_attempt(trial, before, ended)
