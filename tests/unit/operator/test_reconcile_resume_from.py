"""`checkpoints.resumeFrom: {uri: finetunejob://name}`: what the operator makes of a job that continues another."""

from dataclasses import replace
from typing import Any

import pytest
from snapshots import DIGEST, checkpoint, failed_with, finetune_job, said, snapshot, spec, then

from finetune_api.outcome import Artifacts, FailureInfo
from finetune_api.parent import Parent
from finetune_api.pod import RUN_ANNOTATION
from finetune_api.run_file import RunFile
from finetune_api.status import Attempt, Phase, Status
from finetune_operator.codec import status_json
from finetune_operator.plan import CreateJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import FineTuneJobRecord

OLD_UID = "11111111-0000-0000-0000-000000000000"
OUTPUT = {"uri": "pvc://results/runs/", "secretRef": {"name": "old-credentials"}}
OUT_OF_MEMORY = FailureInfo(failure_class="Resources", code="OutOfMemory", message="x")
TRAINED = {"attempts": [Attempt(number=1, reason="OutOfMemory")], "failure": OUT_OF_MEMORY}


def old(phase: Phase = Phase.FAILED, **facts: Any) -> FineTuneJobRecord:
    return finetune_job(spec(output=OUTPUT), name="old", uid=OLD_UID, status=status_json(Status(phase=phase, **facts)))


def continuing(*parents: FineTuneJobRecord, **blocks: Any) -> Snapshot:
    resumed = {"checkpoints": {"resumeFrom": {"uri": "finetunejob://old"}}}
    return snapshot(of=finetune_job(spec(**{**resumed, **blocks})), parents=parents)


def test_it_takes_over_what_a_failed_job_has_left() -> None:
    start = continuing(old(**TRAINED, checkpoints=[checkpoint(5)]))
    plan = reconcile(start)
    taken = Parent(
        name="old", uid=OLD_UID, output=f"pvc://results/runs/old/{OLD_UID}", digest="",
        secret_ref={"name": "old-credentials"},
    )  # fmt: skip
    assert (plan.writes, plan.status.parents) == ((), [taken])
    event = plan.events[-1]
    assert event.reason == "ParentFinished"
    assert event.message == f"takes the checkpoints that FineTuneJob old has left in {taken.output}"
    plan = reconcile(then(start))
    (write,) = plan.writes
    assert isinstance(write, CreateJob)
    template = write.manifest["spec"]["template"]
    assert RunFile.model_validate_json(template["metadata"]["annotations"][RUN_ANNOTATION]).parents == [taken]
    volumes = template["spec"]["volumes"]
    assert "old-credentials" in [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume] == [
        {"claimName": "results", "readOnly": True}
    ]
    assert "continuing old from its checkpoints" in plan.events[-1].message


def test_checkpoints_that_the_operator_never_heard_of_are_looked_for_without_a_gpu() -> None:
    """A trainer that was killed and could not be asked leaves none in the status."""
    start = continuing(old(**TRAINED), compute={"profile": "gpu", "gpusPerNode": 1})
    (write,) = reconcile(then(start)).writes
    assert isinstance(write, CreateJob)
    assert write.manifest["metadata"]["name"].endswith("-check")


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.TRAINING, Phase.SUSPENDED])
def test_it_waits_for_a_job_that_has_not_ended(phase: Phase) -> None:
    plan = reconcile(continuing(old(phase)))
    assert (plan.writes, plan.status.parents) == ((), [])
    assert said(plan.status, "Progressing") == ("True", "ParentNotFinished")


@pytest.mark.causes("ParentUnusable")
@pytest.mark.parametrize(
    ("other", "words"),
    [
        (old(failure=OUT_OF_MEMORY), ("failed (OutOfMemory) before it trained", "remove checkpoints.resumeFrom")),
        (
            old(Phase.SUCCEEDED, artifacts=Artifacts(model="s3://m", digest=DIGEST)),
            ("is finished, and its checkpoints ended with it", "spec.model.uri: finetunejob://old"),
        ),
        (
            old(Phase.GATE_FAILED, artifacts=Artifacts(model="s3://m/old/uid/model", digest=DIGEST)),
            ("is finished", "spec.model.uri: s3://m/old/uid/model"),
        ),
    ],
)
def test_a_job_without_checkpoints_ends_it_before_anything_is_created(
    other: FineTuneJobRecord, words: tuple[str, ...]
) -> None:
    plan = reconcile(continuing(other))
    assert plan.writes == ()
    assert plan.status.failure is not None
    assert (plan.status.failure.code, plan.status.phase) == ("ParentUnusable", Phase.FAILED)
    assert [word for word in words if word not in plan.status.failure.message + plan.status.failure.hint] == []


def test_what_becomes_of_the_other_job_later_changes_nothing() -> None:
    taken = then(continuing(old(**TRAINED)))
    assert [type(write) for write in reconcile(replace(taken, parents=())).writes] == [CreateJob]


def test_a_model_and_checkpoints_of_two_jobs_are_both_taken() -> None:
    artifacts = Artifacts(model="s3://m", digest=DIGEST)
    model = finetune_job(
        spec(), name="base", uid="2", status=status_json(Status(phase=Phase.SUCCEEDED, artifacts=artifacts))
    )
    start = continuing(model, old(**TRAINED), model={"uri": "finetunejob://base"})
    assert [(parent.name, parent.digest) for parent in reconcile(start).status.parents] == [
        ("base", DIGEST),
        ("old", ""),
    ]
    assert "with the result of base, continuing old from its checkpoints" in reconcile(then(start)).events[-1].message


def test_one_job_can_t_be_both() -> None:
    start = continuing(old(**TRAINED), model={"uri": "finetunejob://old"})
    assert failed_with(start) == "SpecInvalid"
