"""Worlds made by hand: small builders for records, so that a test names only what it is about."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_api.live import Live
from finetune_api.outcome import Artifacts, EvaluationResult, FailureInfo, Outcome
from finetune_api.status import CheckpointInfo, Phase, Status
from finetune_api.termination import Termination
from finetune_operator.codec import read_status, status_json
from finetune_operator.lifecycle.children import with_child
from finetune_operator.plan import CreateJob, LiveRecord, Plan, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import (
    ChildJobRecord,
    ConditionRecord,
    ContainerRecord,
    ContainerState,
    FineTuneJobRecord,
    Json,
    PodRecord,
)
from finetune_operator.settings import Profile, Settings, TrainerImage

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
UID = "8f14e45f-ceea-467f-a0d6-0123456789ab"
DIGEST = "sha256:" + "a" * 64
SETTINGS = Settings(
    trainer=TrainerImage(name="registry.example/finetune-trainer:1.0"),
    profiles={
        "default": Profile(requests={"cpu": "1", "memory": "2Gi"}, limits={"cpu": "2", "memory": "4Gi"}),
        "gpu": Profile(max_gpus_per_node=4, limits={"cpu": "8", "memory": "64Gi"}),
    },
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def spec(**blocks: Any) -> Json:
    """A small valid spec with some blocks replaced."""
    return {
        "task": "SequenceClassification",
        "model": {"uri": "hf://sentence-transformers/all-MiniLM-L6-v2"},
        "data": {"train": [{"uri": "s3://data/movies.csv"}]},
        "evaluation": {"metric": "accuracy"},
        "output": {"uri": "s3://models/movies", "secretRef": {"name": "s3-credentials"}},
        **blocks,
    }


def finetune_job(made_from: Json | None = None, **changes: Any) -> FineTuneJobRecord:
    record = FineTuneJobRecord(
        "team", "movies", UID, 1, NOW, False, {}, made_from if made_from is not None else spec(), {}
    )
    return replace(record, **changes)


def on_gpu(**changes: Any) -> FineTuneJobRecord:
    """A FineTuneJob that is checked before it gets a GPU."""
    return finetune_job(spec(compute={"profile": "gpu", "gpusPerNode": 1}), **changes)


def job(**changes: Any) -> ChildJobRecord:
    """The training Job as it is just after its creation; or, by its mode, the check."""
    if changes.get("mode") == "Validate":
        changes.setdefault("name", "movies-8f14e45f-check")
    record = ChildJobRecord(
        "team", "movies-8f14e45f", "job-1", UID, "Train", NOW, False, False, 3, None, NOW, None, 1, 0, 0, 0
    )
    return replace(record, **changes)


def ended(kind: str, reason: str = "", message: str = "", at: datetime = NOW) -> tuple[ConditionRecord, ...]:
    """Conditions of a Job that has ended."""
    return (ConditionRecord(kind, "True", reason, message, at),)


def pod(name: str = "movies-8f14e45f-0-aaaaa", **changes: Any) -> PodRecord:
    """A pod that is being started; fields of its container may be given too."""
    inside = {field.name for field in fields(ContainerRecord)} - {"reason", "message"}
    container = {key: changes.pop(key) for key in list(changes) if key in inside}
    made = ContainerRecord(**{"state": ContainerState.WAITING, **container})
    record = PodRecord(
        "team", name, f"uid-of-{name}", "job-1", UID, NOW, False, None, "Pending", "", "", "10.0.0.9", "node1", made
    )
    return replace(record, **changes)


def waiting_pod(reason: str, message: str = "", **changes: Any) -> PodRecord:
    return pod(container=ContainerRecord(ContainerState.WAITING, reason, message), **changes)


def running_pod(**changes: Any) -> PodRecord:
    return pod(phase="Running", container=ContainerRecord(ContainerState.RUNNING, started=NOW), **changes)


def ended_pod(code: int, message: str = "", reason: str = "Error", **changes: Any) -> PodRecord:
    """A pod whose container has ended with `code`."""
    end = changes.pop("at", after(60))
    container = ContainerRecord(ContainerState.TERMINATED, reason, message, code, NOW, end)
    return pod(**{"phase": "Succeeded" if code == 0 else "Failed", "container": container, **changes})


def disrupted(record: PodRecord) -> PodRecord:
    return replace(record, conditions=(ConditionRecord("DisruptionTarget", "True", "EvictionByEvictionAPI"),))


def termination(outcome: Outcome = Outcome.SUCCEEDED, **changes: Any) -> str:
    """A termination message of this job."""
    good = Artifacts(model="s3://models/movies/movies/uid/model", digest=DIGEST)
    facts: dict[str, Any] = {"uid": UID, "attempt": 1, "outcome": outcome, "steps": 285}
    if outcome in (Outcome.SUCCEEDED, Outcome.GATE_FAILED):
        facts |= {"artifacts": good, "evaluation": EvaluationResult(metrics={"accuracy": 0.913})}
    return Termination(**{**facts, **changes}).encode()


def failure(kind: str, code: str, message: str = "something is wrong") -> str:
    """A termination message that tells of a failure."""
    return termination(Outcome.FAILED, failure=FailureInfo(failure_class=kind, code=code, message=message))


def checkpoint(step: int, **facts: Any) -> CheckpointInfo:
    """A committed checkpoint."""
    return CheckpointInfo(step=step, uri=f"s3://models/movies/movies/uid/checkpoints/1/{step}", digest=DIGEST, **facts)


def told(record: PodRecord, received: datetime = NOW, **facts: Any) -> LiveRecord:
    """What a running pod answers."""
    return LiveRecord(record.uid, Live(**{"uid": UID, **facts}), received)


def snapshot(*children: ChildJobRecord | PodRecord, of: FineTuneJobRecord | None = None, **changes: Any) -> Snapshot:
    made = Snapshot(
        finetune_job=of if of is not None else finetune_job(),
        jobs=tuple(child for child in children if isinstance(child, ChildJobRecord)),
        pods=tuple(child for child in children if isinstance(child, PodRecord)),
        live=None,
        refusal=None,
        now=NOW,
        settings=SETTINGS,
        created=frozenset(child.uid for child in children if isinstance(child, ChildJobRecord)),
    )
    return replace(made, **changes)


def stored(before: Snapshot, plan: Plan) -> Snapshot:
    """The world once the plan's status is written."""
    return replace(before, finetune_job=replace(before.finetune_job, status=status_json(plan.status)))


def then(before: Snapshot, *children: ChildJobRecord | PodRecord, **changes: Any) -> Snapshot:
    """Reconcile, write the status, and let the children be those given, if any are."""
    plan = reconcile(before)
    if children:
        fresh = snapshot(*children)
        made = {write.manifest["metadata"]["name"] for write in plan.writes if isinstance(write, CreateJob)}
        for child in fresh.jobs:  # as the controller does
            if child.name in made:
                plan = replace(plan, status=with_child(plan.status, child.name, child.uid))
    next_world = stored(before, plan)
    if children:
        next_world = replace(next_world, jobs=fresh.jobs, pods=fresh.pods, created=fresh.created)
    return replace(next_world, **changes)


def begun(**blocks: Any) -> Snapshot:
    """A job whose first pod runs, with the status that says so."""
    start = then(snapshot(of=finetune_job(spec(**blocks))), job(), running_pod())
    return then(start)


def ended_well(**blocks: Any) -> Snapshot:
    """The same once that pod has told a success, a minute later; no status tells of it yet."""
    return then(begun(**blocks), job(), ended_pod(0, termination()), now=after(60))


def with_policy(before: Snapshot, **policy: Any) -> Snapshot:
    """The world after `kubectl patch` of the run policy."""
    changed = {**before.finetune_job.spec, "runPolicy": {**before.finetune_job.spec.get("runPolicy", {}), **policy}}
    return replace(
        before, finetune_job=replace(before.finetune_job, spec=changed, generation=before.finetune_job.generation + 1)
    )


def status_of(some: Snapshot) -> Status:
    return read_status(some.finetune_job)


def said(status: Status, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = next(condition for condition in status.conditions if condition.type == kind)
    return found.status, found.reason


def failed_with(some: Snapshot) -> str:
    """Code of the failure that reconcile ends the job with."""
    status = reconcile(some).status
    assert status.phase is Phase.FAILED, status
    assert status.failure is not None
    return status.failure.code


def still_says(some: Snapshot, seconds: float, **facts: Any) -> Snapshot:
    """The world in which the trainer's newest answer, taken at `seconds`, differs by `facts` only."""
    assert some.live is not None
    live = some.live.live.model_copy(update=facts)
    return replace(some, now=after(seconds), live=replace(some.live, live=live, received=after(seconds)))
