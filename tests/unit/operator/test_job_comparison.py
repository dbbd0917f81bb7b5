"""Whether a Job under our name is as we would create it."""

from copy import deepcopy
from typing import Any

import pytest
from snapshots import SETTINGS, UID, spec

from finetune_api.run_file import JobIdentity, Mode
from finetune_api.spec import Spec
from finetune_operator.manifests.comparison import difference
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.job_inputs import JobInputs

JOB = child_job(
    JobInputs(
        Spec.model_validate(spec()),
        JobIdentity(name="movies", namespace="team", uid=UID),
        Mode.TRAIN,
        SETTINGS.profiles["default"],
        SETTINGS,
    )
)


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    job: Any = deepcopy(JOB)
    at = job
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = to
    return dict(job)


POD = ("spec", "template", "spec")
TRAINER = (*POD, "containers", 0)


def test_our_own_is_ours_also_with_what_the_api_server_adds() -> None:
    assert difference(JOB, JOB) == ""
    assert difference(JOB, changed(*POD, "dnsPolicy", to="ClusterFirst")) == ""
    assert difference(JOB, changed(*TRAINER, "resources", "limits", to={"cpu": "2000m", "memory": "4Gi"})) == ""
    added = {"batch.kubernetes.io/controller-uid": "x", "job-name": JOB["metadata"]["name"]}
    labels = {**JOB["spec"]["template"]["metadata"]["labels"], **added}
    assert difference(JOB, changed("spec", "template", "metadata", "labels", to=labels)) == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*TRAINER, "image"), "evil"),
        ((*TRAINER, "command"), ["sh"]),
        ((*TRAINER, "args"), ["pod", "--really"]),
        ((*TRAINER, "env"), [{"name": "PYTHONPATH", "value": "/mnt"}]),
        ((*POD, "initContainers"), [{"name": "i", "image": "evil"}]),
        ((*POD, "hostNetwork"), True),
        ((*POD, "serviceAccountName"), "admin"),
        ((*POD, "volumes"), []),
        (("spec", "template", "metadata", "annotations"), {}),
        (("metadata", "labels"), {}),
    ],
)
def test_another_one_is_told_by_what_differs(path: tuple[str | int, ...], value: Any) -> None:
    assert difference(JOB, changed(*path, to=value)) != ""
