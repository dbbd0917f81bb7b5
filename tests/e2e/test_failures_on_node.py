"""What goes wrong on a node shows in the status within seconds, by its code and in words. All jobs run side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from kubectl_commands import Json, Kubectl
from tuning_jobs import BUCKET, SECRET, Tuning, moment, tiny_job

ALL_SECONDS = 240
"""Patience until the last of them has ended; they share one node."""
TOLD_SECONDS = 5
"""Longest time from the end of a pod to the outcome in the status."""
_SECRET = {"secretRef": {"name": SECRET}}


def _rows(uri: str, secret: str = SECRET) -> Json:
    return {"train": [{"uri": uri, **({"secretRef": {"name": secret}} if secret else {})}]}


@dataclass(frozen=True)
class Failing:
    """A job that fails, and how."""

    code: str
    changes: Mapping[str, Any]
    told: tuple[str, ...]
    """Texts in the message or the hint."""
    attempts: int = 1
    """Trainings that were begun; a check is none."""


_SHORT_WAIT = {"preRunningDeadlineSeconds": 20}
CASES = {
    "missing-data": Failing(
        "DataNotFound", {"data": _rows(f"{BUCKET}/data/none.csv")}, (f"{BUCKET}/data/none.csv", "NoSuchKey")
    ),
    "missing-model": Failing(
        "ModelNotFound", {"model": {"uri": f"{BUCKET}/models/none", **_SECRET}}, (f"{BUCKET}/models/none",)
    ),
    "missing-bucket": Failing(
        "OutputNotWritable", {"output": {"uri": "s3://no-such-bucket/x", **_SECRET}}, ("no-such-bucket",)
    ),
    "wrong-keys": Failing(
        "PermissionDenied", {"data": _rows(f"{BUCKET}/data/support_tickets.csv", "wrong")}, ("support_tickets.csv",)
    ),
    "missing-secret": Failing(
        "PermissionDenied",
        {"data": _rows(f"{BUCKET}/data/support_tickets.csv", "forgotten")},
        ("forgotten", "kubectl -n", "create secret generic forgotten"),
    ),
    "missing-config-map": Failing(
        "DataNotFound", {"data": _rows("configmap://forgotten/rows.csv", "")}, ("configmap://forgotten/rows.csv",)
    ),
    "damaged-weights": Failing(
        "ModelUnsuitable", {"model": {"uri": f"{BUCKET}/models/damaged", **_SECRET}}, ("spec.model.uri", "not numbers")
    ),
    "exception": Failing(
        "InternalError",
        {
            "model": {"uri": f"{BUCKET}/models/one-type", **_SECRET},
            "data": {"columns": {"text": "text", "textPair": "channel", "label": "label"}},
            "runPolicy": {"backoffLimit": 1},
        },
        ("IndexError: index out of range",),
        attempts=2,
    ),
    "missing-image": Failing(
        "ImageUnavailable",
        {"compute": {"profile": "without-image"}, "runPolicy": _SHORT_WAIT},
        ("localhost/no-such-image:none",),
        attempts=0,
    ),
    "no-node": Failing(
        "PodUnschedulable",
        {"compute": {"profile": "nowhere"}, "runPolicy": _SHORT_WAIT},
        ("0/1 nodes are available",),
        0,
    ),
    "out-of-memory": Failing(
        "OutOfMemory", {"compute": {"profile": "starved"}}, ("profile allows", "training.perDeviceBatchSize")
    ),
    "crash": Failing(
        "ContainerCrashed",
        {"compute": {"profile": "crashing"}, "runPolicy": {"backoffLimit": 1}},
        ("exit code 2",),
        attempts=2,
    ),
    "no-such-profile": Failing("ProfileUnknown", {"compute": {"profile": "defualt"}}, ("did you mean default?",), 0),
    "gpu": Failing(
        "PodUnschedulable",
        {"compute": {"profile": "gpu", "gpusPerNode": 1}, "runPolicy": _SHORT_WAIT},
        ("nvidia.com/gpu",),
        attempts=0,
    ),
    "gpu-and-missing-data": Failing(
        "DataNotFound",
        {"compute": {"profile": "gpu", "gpusPerNode": 1}, "data": _rows(f"{BUCKET}/data/none.csv")},
        (f"{BUCKET}/data/none.csv",),
        attempts=0,
    ),
}


pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def failing(kubectl: Kubectl, namespace_with_credentials: Callable[[str], str]) -> Callable[[str], Tuning]:
    """All the jobs, applied at once; a function from a name to the job that has ended."""
    namespace = namespace_with_credentials("failures")
    keys = ("AWS_ACCESS_KEY_ID=nobody", "AWS_SECRET_ACCESS_KEY=wrong")
    kubectl("create", "secret", "generic", "wrong", "-n", namespace, *(f"--from-literal={key}" for key in keys))
    kubectl.apply(*(tiny_job(name, namespace, **case.changes) for name, case in CASES.items()))

    def ended(name: str) -> Tuning:
        tuning = Tuning(kubectl, namespace, name)
        tuning.wait_for_end(ALL_SECONDS)
        return tuning

    return ended


@pytest.mark.causes("DataNotFound", "ModelNotFound", "OutputNotWritable", "PermissionDenied", "ModelUnsuitable")
@pytest.mark.causes(
    "ImageUnavailable", "PodUnschedulable", "OutOfMemory", "ContainerCrashed", "InternalError", "ProfileUnknown"
)
@pytest.mark.parametrize("name", CASES)
def test_failure_is_told_by_code_and_in_words(failing: Callable[[str], Tuning], name: str) -> None:
    case, tuning = CASES[name], failing(name)
    status = tuning.status
    failure = status["failure"]
    assert (status["phase"], failure["code"]) == ("Failed", case.code), failure
    words = f"{failure['message']} {failure.get('hint', '')}"
    assert [text for text in case.told if text not in words] == [], words
    assert tuning.condition("Failed")["status"] == "True"
    assert tuning.condition("Failed")["reason"] == case.code
    assert len(status.get("attempts", [])) == case.attempts


@pytest.mark.parametrize("name", CASES)
def test_failure_is_told_within_seconds(failing: Callable[[str], Tuning], name: str) -> None:
    status = failing(name).status
    ends = [attempt["ended"] for attempt in status.get("attempts", []) if "ended" in attempt]
    if ends:
        delay = (moment(status["completionTime"]) - moment(ends[-1])).total_seconds()
        assert delay <= TOLD_SECONDS


@pytest.mark.parametrize("name", CASES)
def test_failure_is_an_event(failing: Callable[[str], Tuning], name: str) -> None:
    last = failing(name).events()[-1]
    assert (last["type"], last["reason"]) == ("Warning", CASES[name].code) or CASES[name].code in last["message"]


def test_check_comes_before_the_gpu(failing: Callable[[str], Tuning]) -> None:
    names = [job["metadata"]["labels"]["finetune.dev/mode"] for job in failing("gpu").jobs()]
    assert "Validate" in names
    assert failing("gpu").condition("DataReady")["status"] == "True"
    assert [job["metadata"]["labels"]["finetune.dev/mode"] for job in failing("gpu-and-missing-data").jobs()] == [
        "Validate"
    ]


def test_nothing_runs_on_after_a_failure(failing: Callable[[str], Tuning]) -> None:
    for name in CASES:
        pods = failing(name).pods()
        assert [pod["status"]["phase"] for pod in pods if pod["status"]["phase"] in ("Pending", "Running")] == []


def test_no_status_and_no_event_holds_a_key(failing: Callable[[str], Tuning], s3_secrets: list[str]) -> None:
    for name in CASES:
        tuning = failing(name)
        told = f"{tuning.object} {tuning.events()}"
        assert [secret for secret in s3_secrets if secret in told] == []
