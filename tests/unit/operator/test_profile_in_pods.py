"""What a profile adds to pods, and what it allows jobs to ask for."""

import pytest
from snapshots import SETTINGS, UID, failed_with, finetune_job, snapshot, spec

from finetune_api.run_file import JobIdentity, Mode
from finetune_api.spec import Spec
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.job_inputs import JobInputs
from finetune_operator.plan import CreateJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import Profile, Settings

JOB = JobIdentity(name="movies", namespace="team", uid=UID)


def pod_of(profile: Profile, settings: Settings = SETTINGS) -> dict[str, dict[str, object]]:
    inputs = JobInputs(Spec.model_validate(spec()), JOB, Mode.TRAIN, profile, settings)
    return dict(child_job(inputs)["spec"]["template"])


def test_annotations_of_a_profile_reach_the_pod() -> None:
    given = {"karpenter.sh/do-not-disrupt": "true"}
    annotations = pod_of(Profile(annotations=given))["metadata"]["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert "finetune.dev/run" in annotations


def test_user_ids_can_be_left_to_the_cluster() -> None:
    trainer = SETTINGS.trainer.model_copy(update={"run_as_user": None})
    security = pod_of(Profile(), SETTINGS.model_copy(update={"trainer": trainer}))["spec"]["securityContext"]
    assert isinstance(security, dict)
    assert security["runAsNonRoot"] is True
    assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(security)


def asking_for(priority: str, **profile: object) -> Snapshot:
    settings = SETTINGS.model_copy(update={"profiles": {"default": Profile.model_validate(profile)}})
    some = snapshot(of=finetune_job(spec(compute={"priorityClassName": priority})))
    return Snapshot(**{**{f: getattr(some, f) for f in some.__dataclass_fields__}, "settings": settings})


@pytest.mark.parametrize("profile", [{"priorityClassNames": ["urgent"]}, {"priorityClassName": "urgent"}])
def test_a_job_may_have_a_priority_that_its_profile_lists(profile: dict[str, object]) -> None:
    writes = reconcile(asking_for("urgent", **profile)).writes
    created = next(write for write in writes if isinstance(write, CreateJob))
    assert created.manifest["spec"]["template"]["spec"]["priorityClassName"] == "urgent"


@pytest.mark.parametrize("profile", [{}, {"priorityClassNames": ["urgent"]}])
@pytest.mark.parametrize("priority", ["system-node-critical", "other"])
def test_and_no_other(priority: str, profile: dict[str, object]) -> None:
    some = asking_for(priority, **profile)
    assert failed_with(some) == "SpecInvalid"
    failure = reconcile(some).status.failure
    assert failure is not None
    assert f"does not allow the priority class {priority}" in failure.message
    assert "priorityClassNames" in failure.hint
