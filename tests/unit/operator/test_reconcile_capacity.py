"""What is scarce is waited for, what is broken has a limit, and what is refused is tried again later and later."""

from dataclasses import replace

import pytest
from snapshots import (
    NOW,
    after,
    begun,
    checkpoint,
    ended_pod,
    finetune_job,
    job,
    pod,
    said,
    snapshot,
    spec,
    then,
    waiting_pod,
)

from finetune_api.status import Phase
from finetune_operator.codec import status_json
from finetune_operator.plan import CreateJob, LookUpRequest, LookUpResult, QueueState, Refusal, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ConditionRecord

QUOTA = 'pods "movies-8f14e45f-0-abcde" is forbidden: exceeded quota: team, requested: limits.memory=4Gi, used: 0'
RANGE = 'pods "movies-8f14e45f-0-abcde" is forbidden: maximum memory usage per Container is 2Gi, but limit is 4Gi'


def unscheduled(message: str) -> Snapshot:
    """A job whose pod no node takes."""
    conditions = (ConditionRecord("PodScheduled", "False", "Unschedulable", message),)
    return then(snapshot(), job(), pod(container=None, conditions=conditions), now=after(5))


def with_checkpoint(some: Snapshot) -> Snapshot:
    """The world of a job that has trained for a while."""
    status = {**some.finetune_job.status, "checkpoints": [status_json(checkpoint(9000))]}  # type: ignore[arg-type]  # as JSON
    return replace(some, finetune_job=replace(some.finetune_job, status=status))


def podless(refused: str = "", **changes: object) -> Snapshot:
    """A job for which the Job controller makes no pod, and what was looked up of it."""
    found = LookUpResult("job-1", after(11), refused, after(2)) if refused else None
    return replace(then(then(snapshot()), job(), now=after(11)), found=found, **changes)


def test_a_node_is_waited_for_as_long_as_it_takes() -> None:
    plan = reconcile(replace(unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), now=after(1e7)))
    assert plan.status.phase is Phase.STARTING
    assert said(plan.status, "Progressing") == ("False", "PodUnschedulable")


@pytest.mark.parametrize(
    "message",
    [
        '0/1 nodes are available: persistentvolumeclaim "gone" not found. preemption: 0/1 nodes are available',
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes",
    ],
)
def test_a_claim_that_no_node_can_cure_has_a_limit(message: str) -> None:
    waiting = unscheduled(message)
    assert said(reconcile(waiting).status, "Progressing") == ("False", "PodNotStarted")
    end = reconcile(replace(waiting, now=after(900))).status
    assert end.failure is not None
    assert end.failure.code == "PodNotStarted"


@pytest.mark.parametrize("children", [(waiting_pod("ImagePullBackOff"),), (ended_pod(137, at=after(1)),)])
def test_a_job_with_a_checkpoint_is_not_ended_by_waiting(children: tuple[object, ...]) -> None:
    waiting = then(with_checkpoint(begun(runPolicy={"preRunningDeadlineSeconds": 60})), job(), *children)  # type: ignore[arg-type]
    plan = reconcile(replace(waiting, now=after(1e6)))
    assert plan.status.phase is Phase.STARTING
    assert plan.status.checkpoints[-1].step == 9000


def test_nor_by_a_child_that_is_refused() -> None:
    denied = Refusal(403, "admission webhook denied the request: no", after(0))
    waiting = replace(with_checkpoint(begun()), jobs=(), pods=(), refusal=denied)
    plan = reconcile(then(waiting, now=after(1e6)))
    assert plan.status.phase is Phase.PENDING
    assert [type(write) for write in plan.writes] == [CreateJob]


# Refusals.


@pytest.mark.parametrize(
    ("code", "message", "is_final"),
    [
        (400, 'admission webhook "validate.kyverno.svc-fail" denied the request: a label is missing', False),
        (403, 'admission webhook "validation.gatekeeper.sh" denied the request: a label is missing', False),
        (
            422,
            "jobs.batch \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            False,
        ),
        (422, 'admission webhook "policy.example" denied the request: no', False),
        (403, 'jobs.batch "m" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1', False),
        (500, 'Internal error occurred: failed calling webhook "mjob.kb.io": no endpoints available', False),
        (422, 'Job.batch "m" is invalid: spec.template.spec.priorityClassName: Invalid value: "x y"', True),
        (400, "Job in version v1 cannot be handled as a Job: json: cannot unmarshal", True),
        (413, "Request entity too large: limit is 3145728", True),
    ],
)
def test_only_an_invalid_object_ends_the_job_at_once(code: int, message: str, is_final: bool) -> None:
    plan = reconcile(replace(snapshot(), refusal=Refusal(code, message, NOW)))
    if is_final:
        assert plan.status.failure is not None
        assert plan.status.failure.code == "PodRefused"
    else:
        assert plan.status.phase is Phase.PENDING
        assert said(plan.status, "Progressing") == ("False", "JobRefused")
        assert message[:40] in next(c.message for c in plan.status.conditions if c.type == "Progressing")


@pytest.mark.parametrize(
    ("refusal", "ends"),
    [
        (Refusal(403, "denied the request", NOW), True),
        (Refusal(403, "exceeded quota: jobs", NOW), False),
        (Refusal(500, "failed calling webhook", NOW), False),
        (Refusal(429, "too many requests", NOW), False),
    ],
)
def test_what_admission_denies_has_a_limit_and_what_is_scarce_has_none(refusal: Refusal, ends: bool) -> None:
    plan = reconcile(then(replace(snapshot(), refusal=refusal), now=after(900)))
    assert (plan.status.phase is Phase.FAILED) == ends


def test_tries_get_rarer_and_do_not_come_all_at_once() -> None:
    waits = [(Refusal(403, "no", NOW, count).next_try - NOW).total_seconds() for count in range(1, 12)]
    assert all(0.75 * w <= s <= 1.25 * w + 1 for s, w in zip(waits, [5, 10, 20, 40, 80, 160, *[300] * 5], strict=True))
    jobs = {Refusal(403, f"job {n} is forbidden", NOW, 6).next_try for n in range(100)}
    assert len(jobs) > 20, "a thousand jobs that were refused together are spread"


# What is looked up.


def test_why_there_is_no_pod_is_looked_up_and_told() -> None:
    early = replace(podless(), now=after(7))
    assert (reconcile(early).look_up, reconcile(early).again_at) == (None, after(10))
    assert reconcile(podless()).look_up == LookUpRequest("movies-8f14e45f", "job-1")
    plan = reconcile(podless(QUOTA))
    assert plan.look_up is None
    assert said(plan.status, "Progressing") == ("False", "PodNotStarted")
    (message,) = [c.message for c in plan.status.conditions if c.type == "Progressing"]
    assert message.endswith(QUOTA)
    assert QUOTA in plan.events[-1].message


def test_a_job_that_others_hold_by_its_parallelism_is_waited_for_and_said() -> None:
    held = replace(podless(), jobs=(job(active=0, parallelism=0),), now=after(5000))
    plan = reconcile(held)
    assert plan.status.phase is Phase.STARTING
    (message,) = [c.message for c in plan.status.conditions if c.type == "Progressing"]
    assert "something set its spec.parallelism to 0; kubectl patch job movies-8f14e45f" in message
    assert plan.writes == ()


def test_looking_gets_rarer() -> None:
    moments, some = [], podless(QUOTA)
    for _ in range(9):
        due = reconcile(some).again_at
        assert due is not None
        moments.append((due - NOW).total_seconds())
        some = replace(some, now=due, found=LookUpResult("job-1", due, QUOTA, after(2)))
    assert moments[:4] == [22, 44, 88, 176]
    assert moments[-1] - moments[-2] == 300


@pytest.mark.parametrize(("message", "ends"), [(QUOTA, False), (RANGE, True)])
def test_a_quota_is_waited_for_and_a_limit_range_is_not(message: str, ends: bool) -> None:
    end = reconcile(
        replace(podless(message), now=after(900), found=LookUpResult("job-1", after(899), message, after(880)))
    ).status
    assert (end.phase is Phase.FAILED) == ends
    if ends:
        assert end.failure is not None
        assert (end.failure.code, RANGE in end.failure.message) == ("PodNotStarted", True)


def test_what_was_refused_before_the_newest_pod_is_no_news() -> None:
    later = then(begun(), job(), ended_pod(137, at=after(20)), now=after(60))
    known = replace(later, found=LookUpResult("job-1", after(59), QUOTA, after(-1)))
    assert "exceeded quota" not in str(reconcile(known).status.conditions)
    other = replace(later, found=LookUpResult("another job", after(59), QUOTA, after(59)))
    assert "exceeded quota" not in str(reconcile(other).status.conditions)


def queued(state: QueueState | None, seconds: float = 25) -> Snapshot:
    """A job that Kueue has not let go."""
    waiting = then(
        snapshot(of=finetune_job(spec(compute={"queue": "team-a"}))), job(suspend=True, started=None, queue="team-a")
    )
    found = LookUpResult("job-1", after(20), queue=state) if state is not None else None
    return replace(waiting, now=after(seconds), found=found)


@pytest.mark.parametrize(
    ("state", "words"),
    [(QueueState.MISSING, "there is no such LocalQueue"), (QueueState.NO_KUEUE, "Kueue is not installed")],
)
def test_a_queue_that_nobody_serves_is_told_with_its_remedy(state: QueueState, words: str) -> None:
    assert reconcile(queued(None, 19)).look_up is None
    assert reconcile(queued(None, 20)).look_up == LookUpRequest("movies-8f14e45f", "job-1", "team-a")
    plan = reconcile(queued(state))
    assert (plan.status.phase, plan.writes) == (Phase.QUEUED, ())
    assert said(plan.status, "Progressing") == ("False", "QueueMissing")
    (message,) = [c.message for c in plan.status.conditions if c.type == "Progressing"]
    assert all(part in message for part in (words, "team-a of namespace team", "compute.queue"))
    assert [event.reason for event in plan.events] == ["QueueMissing"]
    found = reconcile(queued(QueueState.THERE))
    assert said(found.status, "Progressing") == ("True", "Queued")


@pytest.mark.parametrize("state", [QueueState.THERE, QueueState.UNKNOWN])
def test_a_queue_that_is_there_or_can_not_be_seen_raises_no_alarm(state: QueueState) -> None:
    assert reconcile(queued(state)).events == ()


# Writes that are refused.


def test_a_wish_that_can_not_be_carried_out_is_told() -> None:
    going = begun()
    asked = replace(
        going, finetune_job=replace(going.finetune_job, generation=2, spec=spec(runPolicy={"suspend": True}))
    )
    denied = Refusal(422, "denied request: Jobs may not be changed", NOW, what="change Job movies-8f14e45f")
    plan = reconcile(replace(asked, refused_writes=(denied,)))
    assert plan.status.observed_generation == 2
    assert said(plan.status, "Suspended") == ("False", "WriteRefused")
    assert said(plan.status, "WriteRefused") == ("True", "RefusedByApiServer")
    (message,) = [c.message for c in plan.status.conditions if c.type == "WriteRefused"]
    assert "change Job movies-8f14e45f (422): denied request" in message
    assert [event.reason for event in plan.events] == ["WriteRefused"]
    done = reconcile(replace(then(replace(asked, refused_writes=(denied,))), refused_writes=()))
    assert said(done.status, "WriteRefused") == ("False", "Done")


def test_so_is_a_clean_up_that_is_refused() -> None:
    over = then(then(begun(), job(), ended_pod(65), now=after(60)))
    denied = Refusal(403, "no", NOW, what="delete this FineTuneJob")
    plan = reconcile(replace(over, refused_writes=(denied,)))
    assert plan.status.phase is Phase.FAILED
    assert said(plan.status, "WriteRefused") == ("True", "RefusedByApiServer")
    assert reconcile(over).status.conditions == plan.status.conditions[:-1]
