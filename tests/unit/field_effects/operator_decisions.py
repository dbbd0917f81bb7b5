"""What the operator makes of a spec: the objects that it creates, and its decisions in some situations."""

from dataclasses import replace
from typing import Any

from snapshots import (
    after,
    begun,
    disrupted,
    ended_pod,
    failure,
    finetune_job,
    job,
    snapshot,
    stored,
    termination,
    then,
    told,
    waiting_pod,
)

from finetune_api.outcome import Progress
from finetune_api.pod import RUN_ANNOTATION
from finetune_api.status import Phase
from finetune_operator.plan import CreateJob, Plan, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import Profile, Settings, TrainerImage

SETTINGS = Settings(
    trainer=TrainerImage(name="registry.example/trainer:1"),
    profiles={
        "default": Profile(max_gpus_per_node=2, priority_class_names=["urgent"]),
        "large": Profile(limits={"memory": "64Gi"}),
    },
)


def objects(spec: dict[str, Any]) -> Any:
    """The Jobs that the operator creates, less the run file in them, which repeats the spec; what it waits for else."""
    plan = reconcile(snapshot(of=finetune_job(spec), settings=SETTINGS))
    assert plan.status.failure is None, "the operator refuses the job"
    made = [write.manifest for write in plan.writes if isinstance(write, CreateJob)]
    for one in made:
        one["spec"]["template"]["metadata"]["annotations"].pop(RUN_ANNOTATION)
    return made, plan.status.phase, [(c.type, c.status, c.message) for c in plan.status.conditions]


def decisions(spec: dict[str, Any]) -> Any:
    """What the operator does with the job in each of the situations that run policies are about."""
    blocks = {name: block for name, block in spec.items() if name == "runPolicy"}
    return [_told(reconcile(situation(blocks))) for situation in SITUATIONS]


def _told(plan: Plan) -> Any:
    return plan.status.phase, plan.status.failure, plan.again_at, [type(write).__name__ for write in plan.writes]


def _new(blocks: Any) -> Snapshot:
    return snapshot(of=finetune_job({**finetune_job().spec, **blocks}))


def _failed_once(blocks: Any) -> Snapshot:
    return then(begun(**blocks), job(), ended_pod(70, failure("Internal", "Internal")), now=after(60))


def _disrupted(blocks: Any) -> Snapshot:
    return then(begun(**blocks), job(), disrupted(ended_pod(137)), now=after(60))


def _no_image(blocks: Any) -> Snapshot:
    waiting = then(_new(blocks), job(), waiting_pod("ImagePullBackOff", "no such image"))
    return then(waiting, now=after(120))


def _stands_still(blocks: Any) -> Snapshot:
    going = begun(**blocks)
    live = told(going.pods[0], phase=Phase.TRAINING, progress=Progress(step=5, total_steps=10))
    return replace(then(going, live=live), now=after(200), live=replace(live, received=after(200)))


def _does_not_end(blocks: Any) -> Snapshot:
    before = begun(**blocks)
    stopping = replace(before.pods[0], deleting=True, deletion_deadline=after(30))
    return replace(then(replace(before, pods=(stopping,), now=after(1))), now=after(200))


def _is_over(blocks: Any) -> Snapshot:
    ended = then(begun(**blocks), job(), ended_pod(0, termination()), now=after(60))
    return replace(stored(ended, reconcile(ended)), now=after(3600))


def _runs(blocks: Any) -> Snapshot:
    return replace(begun(**blocks), now=after(100))


SITUATIONS = (_new, _runs, _failed_once, _disrupted, _no_image, _stands_still, _does_not_end, _is_over)
