import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "child"},
    "spec": {
        "suspend": False,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}},
    },
}


@pytest.fixture(scope="module")
def whole_control_plane(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """One with controllers; `control_plane` says what is missing where there is none."""
    assert control_plane.kubeconfig.is_file()
    folder = tmp_path_factory.mktemp("controllers")
    with ControlPlane(folder, controllers=True, scheduler=True, audit=True) as running:
        yield running


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def pods(cluster: ControlPlane) -> list[dict[str, Any]]:
    items = cluster.request("GET", "/api/v1/namespaces/default/pods")[1]["items"]
    return [item for item in items if item["metadata"].get("labels", {}).get("job-name") == "child"]


def test_a_job_gets_a_pod_and_takes_it_along(whole_control_plane: ControlPlane) -> None:
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    assert whole_control_plane.request("POST", jobs, JOB)[0] == 201
    wait_until(lambda: len(pods(whole_control_plane)) == 1)
    scheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    wait_until(
        lambda: (
            [{k: c[k] for k in scheduled[0]} for c in pods(whole_control_plane)[0]["status"].get("conditions", [])]
            == scheduled
        )
    )
    answer = whole_control_plane.request("DELETE", f"{jobs}/child", {"propagationPolicy": "Background"})
    assert answer[0] == 200
    wait_until(lambda: pods(whole_control_plane) == [])


def test_each_request_is_in_the_audit_log(whole_control_plane: ControlPlane) -> None:
    assert whole_control_plane.request("GET", "/api/v1/namespaces/default/configmaps/not-there")[0] == 404

    def lines() -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in whole_control_plane.audit_log.read_text().splitlines() if "not-there" in line
        ]

    wait_until(lambda: bool(lines()))
    [line] = lines()
    assert (line["verb"], line["user"]["username"], line["responseStatus"]["code"]) == ("get", "admin", 404)


def test_controllers_act_in_their_own_names_and_none_is_refused(whole_control_plane: ControlPlane) -> None:
    requests = [json.loads(line) for line in whole_control_plane.audit_log.read_text().splitlines()]
    users = {request["user"]["username"] for request in requests}
    assert {"system:kube-scheduler", "system:serviceaccount:kube-system:job-controller"} <= users
    assert [r["requestURI"] for r in requests if r["responseStatus"]["code"] == 403] == []


def test_nothing_outlives_the_block(tmp_path: Path, control_plane: ControlPlane) -> None:
    assert control_plane.kubeconfig.is_file()
    with ControlPlane(tmp_path) as running:
        processes = running.processes
        assert processes.ended() == []
    assert not any(processes.alive(name) for name in ("etcd", "kube-apiserver"))
