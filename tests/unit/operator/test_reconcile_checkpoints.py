"""Checkpoints as the status tells them: what is kept, where attempts go on, and what people ask for."""

from dataclasses import replace

import pytest
from played_cluster import PlayedCluster
from snapshots import (
    after,
    begun,
    checkpoint,
    ended_pod,
    job,
    on_gpu,
    running_pod,
    said,
    status_of,
    still_says,
    termination,
    then,
    told,
    with_policy,
)

from finetune_api.failures import TrainerHung
from finetune_api.outcome import Outcome, Progress
from finetune_api.pod import CHECKPOINT_ANNOTATION
from finetune_api.status import Attempt, Phase, Status
from finetune_operator.lifecycle.messages import failure_info
from finetune_operator.plan import AskForCheckpoint, Snapshot
from finetune_operator.reconcile import reconcile


def training(step: int = 10, **facts: object) -> Snapshot:
    """A job that trains, with the status that says so."""
    going = begun()
    progress = Progress(step=step, total_steps=100, percent=step)
    return then(then(going, live=told(going.pods[0], phase=Phase.TRAINING, progress=progress, **facts)))


def message(status: Status, kind: str) -> str:
    return next(condition.message for condition in status.conditions if condition.type == kind)


def asking(some: Snapshot, text: str) -> Snapshot:
    return replace(some, finetune_job=replace(some.finetune_job, annotations={CHECKPOINT_ANNOTATION: text}))


def test_checkpoints_are_shown_with_the_next_figures() -> None:
    before = training()
    soon = still_says(before, 5, progress=Progress(step=20, total_steps=100), checkpoints=[checkpoint(20)])
    assert reconcile(soon).status == status_of(soon)
    assert reconcile(soon).again_at == after(10)
    later = replace(soon, now=after(10), live=replace(soon.live, received=after(10)))  # type: ignore[type-var]
    plan = reconcile(later)
    assert [info.step for info in plan.status.checkpoints] == [20]
    assert [(event.reason, event.message) for event in plan.events] == [
        ("CheckpointSaved", "the first checkpoint is saved: step 20")
    ]


def test_later_checkpoints_are_no_events() -> None:
    before = training(20, checkpoints=[checkpoint(20)])
    plan = reconcile(
        still_says(
            before, 20, progress=Progress(step=30, total_steps=100), checkpoints=[checkpoint(20), checkpoint(30)]
        )
    )
    assert [info.step for info in plan.status.checkpoints] == [20, 30]
    assert plan.events == ()


def test_what_a_trainer_says_of_its_checkpoints_is_made_tidy() -> None:
    odd = checkpoint(5).model_copy(update={"uri": "s3://models/\x1b[31m\nred"})
    shown = training(20, checkpoints=[checkpoint(20), odd, *(checkpoint(step) for step in range(30, 170, 10))])
    kept = status_of(shown).checkpoints
    assert [info.step for info in kept] == [5, 20, *range(30, 170, 10)]
    assert all(info.uri.isprintable() for info in kept)


def test_attempts_tell_where_they_went_on() -> None:
    played = PlayedCluster()
    pod = played.start_next()
    played.live = told(pod, played.now, phase=Phase.TRAINING, progress=Progress(step=130, total_steps=300))
    played.settle()
    words = termination(Outcome.STOPPED, steps=131, checkpoint=checkpoint(131))
    played.end(pod, 85, words, disrupt=True)
    played.settle()
    assert "the next one resumes from step 131" in message(played.status, "Progressing")
    pod = played.start_next()
    played.live = told(
        pod, played.now, phase=Phase.TRAINING, resumed_from=131, progress=Progress(step=140, total_steps=300)
    )
    played.settle()
    assert [(a.steps, a.resumed_from, a.reason) for a in played.status.attempts] == [
        (131, None, "Preempted"),
        (140, 131, ""),
    ]
    told_events = [(event.reason, event.message) for event in played.events]
    assert dict(told_events)["Preempted"].startswith(
        "attempt 1 was interrupted at step 131 (Preempted); step 131 is in a checkpoint; "
    )
    assert told_events[-1][0] == "ResumedFromCheckpoint"
    assert told_events[-1][1].startswith("attempt 2 resumes from step 131 in pod ")


def test_an_attempt_that_was_killed_keeps_what_it_told() -> None:
    before = training(40, resumed_from=30, checkpoints=[checkpoint(30)])
    plan = reconcile(replace(then(before), pods=(), now=after(60)))
    assert [(a.steps, a.resumed_from, a.reason) for a in plan.status.attempts] == [(40, 30, "Stopped")]
    assert "step 30 is in a checkpoint" in plan.events[-1].message


def test_last_words_without_a_step_take_away_none() -> None:
    """As those of a process beside the trainer, which may not know how far it was."""
    before = training(40, resumed_from=30, checkpoints=[checkpoint(30)])
    words = termination(Outcome.FAILED, steps=0, failure=failure_info(TrainerHung, "no progress for 3600 s"))
    plan = reconcile(then(before, job(), ended_pod(14, words), now=after(60)))
    assert [(a.steps, a.resumed_from, a.reason) for a in plan.status.attempts] == [(40, 30, "TrainerHung")]


def test_a_checkpoint_that_is_gone_does_not_come_back_with_old_words() -> None:
    """An older attempt said 130; the newer one found it broken, fell back to 100, and goes on from there."""
    played = PlayedCluster()
    for number, live in enumerate([[], [checkpoint(100), checkpoint(110)]], start=1):
        pod = played.start_next()
        progress = Progress(step=130, total_steps=300)
        played.live = told(pod, played.now, phase=Phase.TRAINING, progress=progress, checkpoints=live)
        played.settle()
        if number == 1:
            played.end(pod, 85, termination(Outcome.STOPPED, steps=130, checkpoint=checkpoint(130)), disrupt=True)
            played.settle()
            assert [info.step for info in played.status.checkpoints] == [130]
    assert [info.step for info in played.status.checkpoints] == [100, 110]


def test_checkpoints_end_with_the_result() -> None:
    played = PlayedCluster()
    pod = played.start_next()
    played.live = told(pod, played.now, phase=Phase.TRAINING, checkpoints=[checkpoint(100)])
    played.settle()
    assert [info.step for info in played.status.checkpoints] == [100]
    played.end(pod, 0, termination(Outcome.SUCCEEDED, steps=130))
    played.settle()
    assert played.status.phase is Phase.SUCCEEDED
    assert played.status.checkpoints == []


def test_a_suspended_job_says_what_it_has_kept() -> None:
    played = PlayedCluster()
    pod = played.start_next()
    played.live = told(pod, played.now, phase=Phase.TRAINING, progress=Progress(step=130, total_steps=300))
    played.settle()
    played.patch_policy(suspend=True)
    played.settle()
    assert said(played.status, "Suspended") == ("False", "Suspending")
    assert "has until 12:05:00 UTC to save a checkpoint" in message(played.status, "Suspended")
    played.end(played.running()[0], 85, termination(Outcome.STOPPED, steps=131, checkpoint=checkpoint(131)))
    played.settle()
    assert message(played.status, "Suspended") == (
        "no pod runs; step 131 is in a checkpoint; set runPolicy.suspend: false to resume"
    )
    assert [attempt.reason for attempt in played.status.attempts] == ["Suspended"]
    assert (played.status.failures, played.status.preemptions) == (0, 0)


def test_a_pod_that_is_drained_says_how_long_it_has() -> None:
    before = training(20, checkpoints=[checkpoint(20)])
    stopping = replace(before.pods[0], deleting=True, deletion_deadline=after(300))
    plan = reconcile(replace(before, pods=(stopping,), now=after(1)))
    assert said(plan.status, "Progressing") == ("True", "Stopping")
    assert "has until 12:05:00 UTC to save a checkpoint" in message(plan.status, "Progressing")


def test_a_request_is_handed_to_the_pod_once() -> None:
    before = asking(training(), "before the demo")
    (write,) = reconcile(before).writes
    assert write == AskForCheckpoint(before.pods[0].name, before.pods[0].uid, "before the demo")
    has_it = replace(before, pods=(replace(before.pods[0], checkpoint_request="before the demo"),))
    assert reconcile(has_it).writes == ()
    done = still_says(
        has_it, 20, checkpoint_request="before the demo", checkpoints=[checkpoint(17)],
        progress=Progress(step=17, total_steps=100),
    )  # fmt: skip
    plan = reconcile(done)
    assert plan.status.checkpoint_request == "before the demo"
    assert [event.message for event in plan.events] == ["step 17 is in a checkpoint, as asked: before the demo"]
    next_pod = replace(then(done), pods=(running_pod(name="movies-8f14e45f-0-bbbbb"),), live=None, now=after(60))
    assert [w for w in reconcile(next_pod).writes if isinstance(w, AskForCheckpoint)] == []


def test_that_a_request_is_carried_out_is_told_at_once() -> None:
    before = training()
    done = still_says(before, 1, checkpoint_request="x", checkpoints=[checkpoint(10)])
    assert reconcile(done).status.checkpoint_request == "x"


def test_a_request_that_was_not_carried_out_goes_to_the_next_pod() -> None:
    before = asking(training(), "now")
    next_pod = replace(before, pods=(running_pod(name="movies-8f14e45f-0-bbbbb"),), live=None, now=after(60))
    (write,) = (w for w in reconcile(next_pod).writes if isinstance(w, AskForCheckpoint))
    assert write.name == "movies-8f14e45f-0-bbbbb"


@pytest.mark.parametrize(
    "changes", [{"deleting": True}, {"phase": "Pending", "container": None}], ids=["stopping", "starting"]
)
def test_a_pod_that_does_not_run_is_not_asked(changes: dict[str, object]) -> None:
    before = asking(begun(), "now")
    pod = replace(before.pods[0], **changes)  # type: ignore[arg-type]
    assert [w for w in reconcile(replace(before, pods=(pod,))).writes if isinstance(w, AskForCheckpoint)] == []


def test_a_check_is_not_asked_for_a_checkpoint() -> None:
    check = job(name="movies-8f14e45f-check", uid="check-1", mode="Validate")
    start = on_gpu(annotations={CHECKPOINT_ANNOTATION: "now"})
    before = replace(begun(), finetune_job=start, jobs=(check,), pods=(running_pod(owner_uid="check-1"),))
    before = replace(before, created=frozenset({"check-1"}))
    assert reconcile(before).writes == ()


def test_a_request_that_is_too_long_is_ignored_and_said_once() -> None:
    long = asking(training(), "x" * 129)
    plan = reconcile(long)
    assert plan.writes == ()
    (event,) = plan.events
    assert event.reason == "CheckpointRequestIgnored"
    assert "129 characters, at most 128" in event.message
    assert reconcile(then(long)).events == ()
    assert [type(w) for w in reconcile(asking(then(long), "x" * 128)).writes] == [AskForCheckpoint]


def test_a_finished_job_is_not_asked() -> None:
    before = asking(with_policy(begun(), backoffLimit=0), "now")
    ended = then(then(before, now=after(60), pods=(), jobs=(job(failed=1),)))
    assert status_of(ended).phase is Phase.FAILED
    again = replace(ended, pods=before.pods)
    assert [w for w in reconcile(again).writes if isinstance(w, AskForCheckpoint)] == []


def test_attempts_are_figures_while_they_run() -> None:
    before = training()
    soon = still_says(before, 5, resumed_from=7)
    assert reconcile(soon).status.attempts == [
        Attempt(number=1, pod=before.pods[0].name, started=before.pods[0].container.started, steps=10)  # type: ignore[union-attr]
    ]
