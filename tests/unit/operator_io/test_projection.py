"""Raw objects become records; what users can write in them must not break anything."""

from datetime import UTC, datetime
from typing import Any

import pytest
from raw_objects import finetune_job, job, owner, pod

from finetune_operator.projection import child_job_record, finetune_job_record, pod_record, resource_version
from finetune_operator.records import ContainerState


def test_a_tune_keeps_what_decides_and_nothing_else() -> None:
    record = finetune_job_record(
        finetune_job(annotations={"finetune.dev/x": "1", "kubectl.kubernetes.io/last-applied": "{...}"})
    )
    assert (record.namespace, record.name, record.uid, record.generation) == ("team", "movies", "tune-1", 2)
    assert record.created == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert record.annotations == {"finetune.dev/x": "1"}
    assert record.spec["runPolicy"] == {"suspend": False}
    assert not record.deleting


def test_a_job_tells_its_owner_and_state() -> None:
    status = {
        "startTime": "2026-11-21T12:00:05Z", "active": 1, "failed": 2, "terminating": None,
        "conditions": [{"type": "Suspended", "status": "True", "reason": "JobSuspended"}],
    }  # fmt: skip
    record = child_job_record(job(status=status))
    assert (record.owner_uid, record.mode, record.backoff_limit) == ("tune-1", "Train", 3)
    assert (record.active, record.failed, record.succeeded, record.terminating) == (1, 2, 0, 0)
    assert record.condition("Suspended") is not None
    assert record.condition("Complete") is None


@pytest.mark.parametrize(
    "wrong",
    [
        owner("FineTuneJob", "tune-1", "other.dev"),
        owner("SomethingElse", "tune-1", "finetune.dev"),
        owner("FineTuneJob", "tune-1", "finetune.dev", controller=False),
    ],
)
def test_only_a_controlling_owner_of_our_kind_counts(wrong: dict[str, Any]) -> None:
    body = job()
    body["metadata"]["ownerReferences"] = [wrong]
    assert child_job_record(body).owner_uid == ""


@pytest.mark.parametrize(
    ("state", "expected", "reason"),
    [
        ({"waiting": {"reason": "ImagePullBackOff", "message": "no"}}, ContainerState.WAITING, "ImagePullBackOff"),
        ({"running": {"startedAt": "2026-11-21T12:00:00Z"}}, ContainerState.RUNNING, ""),
        ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, ContainerState.TERMINATED, "OOMKilled"),
        ({}, ContainerState.WAITING, ""),
    ],
)
def test_the_state_of_the_container(state: dict[str, Any], expected: ContainerState, reason: str) -> None:
    sidecar = {"name": "istio", "state": {"terminated": {"exitCode": 1}}}
    statuses = [sidecar, {"name": "trainer", "state": state}]
    container = pod_record(pod(status={"phase": "Running", "containerStatuses": statuses})).container
    assert container is not None
    assert (container.state, container.reason) == (expected, reason)


def test_a_pod_on_its_way_out_tells_until_when() -> None:
    record = pod_record(pod(deletionTimestamp="2026-11-21T12:05:00Z"))
    assert record.deleting
    assert record.deletion_deadline == datetime(2026, 11, 21, 12, 5, tzinfo=UTC)


def test_conditions_of_a_pod_that_explain_it_are_kept() -> None:
    conditions = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
        {"type": "Ready", "status": "False"},
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": None},
    ]
    record = pod_record(pod(status={"phase": "Pending", "conditions": conditions}))
    assert [condition.type for condition in record.conditions] == ["PodScheduled", "DisruptionTarget"]


def test_long_texts_are_cut() -> None:
    ended = {"terminated": {"exitCode": 1, "message": "x" * 100_000}}
    record = pod_record(pod(status={"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": ended}]}))
    assert record.container is not None
    assert len(record.container.message) == 4096


def test_an_object_without_status_is_fine() -> None:
    for body, read in ((finetune_job(), finetune_job_record), (job(), child_job_record), (pod(), pod_record)):
        body.pop("status")
        read(body)


def test_a_version_that_is_no_number_is_not_compared() -> None:
    assert resource_version(finetune_job(version=7)) == 7
    assert resource_version({"metadata": {"resourceVersion": "abc"}}) == -1


def test_a_pod_tells_what_it_was_asked_for() -> None:
    assert pod_record(pod(annotations={"finetune.dev/checkpoint": "now"})).checkpoint_request == "now"
    assert pod_record(pod()).checkpoint_request == ""


def test_containers_beside_the_trainers_are_read_as_far_as_they_have_not_ended_well() -> None:
    """Wherever they stand in the list. Native sidecars count only while they wait: the kubelet ends them."""
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    failed = {"terminated": {"exitCode": 255, "reason": "Error", "message": "boom"}}
    pulls = {"waiting": {"reason": "ImagePullBackOff"}}
    body = pod(
        status={
            "phase": "Running",
            "initContainerStatuses": [
                {"name": "fine", "state": done},
                {"name": "broken", "state": failed},
                {"name": "native", "state": {"running": {}}},
                {"name": "native-waits", "state": pulls},
            ],
            "containerStatuses": [
                {"name": "istio-proxy", "state": {"running": {}}},
                {"name": "trainer", "state": {"running": {}}},
                {"name": "agent", "state": pulls},
                {"name": "brief", "state": done},
            ],
        }
    )
    body["spec"]["initContainers"] = [
        {"name": "fine"}, {"name": "broken"},
        {"name": "native", "restartPolicy": "Always"}, {"name": "native-waits", "restartPolicy": "Always"},
    ]  # fmt: skip
    record = pod_record(body)
    assert record.container is not None
    assert record.container.state is ContainerState.RUNNING
    assert [(other.name, other.is_init, other.container.reason) for other in record.others] == [
        ("broken", True, "Error"),
        ("native-waits", True, "ImagePullBackOff"),
        ("istio-proxy", False, ""),
        ("agent", False, "ImagePullBackOff"),
    ]
