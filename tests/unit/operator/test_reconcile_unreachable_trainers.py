"""Trainers that run and don't answer, GPUs that nobody takes, and checks that fit no node: each is said."""

from dataclasses import replace

import pytest
from snapshots import (
    NOW,
    after,
    begun,
    failed_with,
    finetune_job,
    job,
    on_gpu,
    pod,
    said,
    snapshot,
    spec,
    status_of,
    stored,
    then,
    told,
)

from finetune_api.outcome import Progress
from finetune_api.status import Phase
from finetune_operator.plan import Snapshot, UnansweredPolls
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ConditionRecord


def silent(some: Snapshot, seconds: float = 90, questions: int = 4, why: str = "HTTP 403") -> Snapshot:
    return replace(some, now=after(seconds), unanswered=UnansweredPolls(some.pods[-1].uid, NOW, questions, why))


def message(some: Snapshot, kind: str = "Progressing") -> str:
    return next(found.message for found in reconcile(some).status.conditions if found.type == kind)


@pytest.mark.parametrize("why", ["HTTP 403", "no answer"])
def test_a_trainer_that_can_not_be_asked_is_told_with_the_likely_reason(why: str) -> None:
    some = silent(begun(), why=why)
    plan = reconcile(some)
    assert said(plan.status, "Progressing") == ("Unknown", "TrainerUnreachable")
    assert f"can't be asked for its progress ({why})" in message(some)
    assert "NetworkPolicy" in message(some)
    assert said(plan.status, "Running")[0] == "True"
    assert [(event.type, event.reason) for event in plan.events] == [("Warning", "TrainerUnreachable")]
    assert reconcile(stored(some, plan)).events == ()


@pytest.mark.parametrize(("seconds", "questions"), [(30, 4), (90, 2)])
def test_a_question_or_two_that_a_busy_trainer_leaves_out_are_not_worth_a_word(seconds: float, questions: int) -> None:
    some = silent(begun(), seconds, questions)
    assert said(reconcile(some).status, "Progressing") == ("True", "Starting")


def test_nothing_that_stood_still_is_told_as_news_and_the_word_goes_with_an_answer() -> None:
    going = begun()
    live = told(going.pods[-1], phase=Phase.TRAINING, progress=Progress(step=10, total_steps=20))
    asked = then(replace(going, live=live))
    mute = silent(asked)
    once = stored(mute, reconcile(mute))
    assert said(status_of(once), "Progressing") == ("Unknown", "TrainerUnreachable")
    later = reconcile(replace(once, now=after(600)))
    assert later.status == status_of(once), "no figure has moved"
    again = replace(once, unanswered=None, now=after(700), live=replace(live, received=after(700)))
    assert said(reconcile(again).status, "Progressing") == ("True", "Training")


def test_the_silence_of_an_earlier_pod_says_nothing() -> None:
    some = silent(begun())
    assert some.unanswered is not None
    other = replace(some, unanswered=replace(some.unanswered, pod_uid="earlier"))
    assert said(reconcile(other).status, "Progressing") == ("True", "Starting")


@pytest.mark.parametrize(("compute", "warned"), [({"profile": "gpu"}, True), ({"profile": "default"}, False)])
def test_a_profile_with_gpus_of_which_the_job_takes_none_is_told(compute: dict[str, str], warned: bool) -> None:
    plan = reconcile(snapshot(of=finetune_job(spec(compute=compute))))
    assert ("GPUsNotTaken" in [event.reason for event in plan.events]) is warned
    told_so = message(snapshot(of=finetune_job(spec(compute=compute))), "Accepted")
    assert ("set compute.gpusPerNode: 1" in told_so) is warned


def test_a_check_that_fits_no_node_names_its_profile() -> None:
    gpus = on_gpu()
    full = ConditionRecord("PodScheduled", "False", "Unschedulable", "0/1 nodes: 1 node(s) had untolerated taint(s)")
    waits = pod(owner_uid="check-1", conditions=(full,))
    some = then(snapshot(of=gpus), job(uid="check-1", mode="Validate"), waits)
    assert "the check before training, which runs under checkProfile" in message(some)
    if failed_over(some):
        failure = reconcile(replace(some, now=after(3600))).status.failure
        assert failure is not None
        assert "checkProfile" in failure.hint


def failed_over(some: Snapshot) -> bool:
    """Whether waiting for a node ends a job at all."""
    late = replace(some, now=after(3600))
    return reconcile(late).status.phase is Phase.FAILED and failed_with(late) == "PodUnschedulable"
