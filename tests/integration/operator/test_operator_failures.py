"""The operator is killed, doubled, cut off and lied to: each time one Job, and in the end a right status."""

import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from api_proxy import ApiProxy
from control_plane import ControlPlane, free_port
from operator_process import OPERATOR, OperatorProcess, StartOperator
from played_node import SUCCEEDED, PlayedNode, success
from tuning import Json, Namespace, merge_of, write_kubeconfig
from writes import is_write

_INACTIVITY_SECONDS = 70
"""After this long without a word, not even a bookmark, a watch counts as dead."""


def test_a_restart_writes_nothing(namespace: Namespace, node: PlayedNode, start_operator: StartOperator) -> None:
    operator = start_operator()
    for name in ("pending", "running", "done"):
        namespace.apply(name)
    pods = namespace.until(lambda: namespace.pods_by_job() if len(namespace.objects("pods")) == 3 else None, "pods")
    node.start(pods["running"])
    node.start(pods["done"])
    node.end(pods["done"], 0, success(uid_of(namespace, "done")))
    namespace.until_phase("Succeeded", "done")
    namespace.until(lambda: namespace.status("running").get("startTime"), "start")
    namespace.until(lambda: reason_of(namespace, "pending", "Progressing") == "PodStarting", "word of the wait")
    namespace.until(lambda: quiet(namespace), "quiet")
    operator.kill()
    before = namespace.writes_of(OPERATOR)
    statuses = {name: namespace.status(name) for name in ("pending", "running", "done")}
    operator.start()
    operator.wait_until_ready()
    time.sleep(2)
    assert {name: namespace.status(name) for name in statuses} == statuses
    assert namespace.writes_of(OPERATOR) == before
    assert 'finetune_reconciles_total{result="done"}' in operator.metrics()


def test_two_operators_do_no_harm(namespace: Namespace, node: PlayedNode, start_operator: StartOperator) -> None:
    start_operator(name="one")
    start_operator(name="two")
    uid = namespace.apply()
    pod = namespace.pod()
    node.start(pod)
    node.end(pod, 0, success(uid))
    assert len(namespace.until_phase("Succeeded")["attempts"]) == 1
    assert namespace.writes_of(OPERATOR).count("create jobs") == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("blocks", "writes"), [({}, 4), (merge_of("one", "two"), 6)], ids=["alone", "from two others"])
def test_killed_after_any_write_it_goes_on(
    blocks: Json, writes: int, namespace: Namespace, node: PlayedNode, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    """The process is killed when the API server has done the n-th write, and before it gets the answer."""
    for name in ("one", "two"):
        namespace.apply(name)
        namespace.write_status(name, SUCCEEDED)
    for number in count(1):
        name = f"killed-{number}"
        if not live_through(namespace, node, operator_kubeconfig, tmp_path / name, number, blocks):
            break
        status = namespace.status(name)
        assert [attempt["reason"] for attempt in status["attempts"]] == ["Succeeded"], number
        assert status.get("failures", 0) == 0, number
        created = [
            line for line, ref in namespace.audit()
            if line["verb"] == "create" and ref["resource"] == "jobs" and line["responseStatus"]["code"] == 201
            and is_write(line["verb"], line["requestURI"])
        ]  # fmt: skip
        assert len(created) == number, f"write {number}: {len(created)} Jobs were created for {number} FineTuneJobs"
        assert len(status.get("parents", [])) == (2 if blocks else 0)
    assert number > writes, (
        "a life has at least: a Job, its start, its end, an event, and its parents with their events"
    )


def live_through(
    namespace: Namespace, node: PlayedNode, kubeconfig: Path, folder: Path, number: int, blocks: Json
) -> bool:
    """Take a job from its creation to its end with the operator killed after that write; whether there was one."""
    killed = False

    def written(done: int) -> None:
        nonlocal killed
        if done == number:
            killed = True
            operator.kill()

    with proxy_for(namespace.cluster, written) as proxy:
        operator = OperatorProcess(folder, through(proxy, namespace.cluster, kubeconfig), [namespace.name])
        try:
            operator.start()
            uid = namespace.apply(folder.name, blocks)
            pod = keep_going(operator, lambda: namespace.pods_by_job().get(folder.name), namespace)
            node.start(pod)
            keep_going(operator, lambda: namespace.status(folder.name).get("startTime"), namespace)
            node.end(pod, 0, success(uid))
            keep_going(operator, lambda: namespace.phase(folder.name) == "Succeeded", namespace)
            time.sleep(1)  # for the last events
        finally:
            operator.stop()
    return killed


def keep_going(operator: OperatorProcess, look: Callable[[], Any], namespace: Namespace) -> Any:
    """Look until there is something to see, starting the operator again where it is gone."""

    def seen() -> Any:
        if not operator.running:
            operator.start()
        return look()

    return namespace.until(seen, "end of the wait")


def test_an_outage_of_the_api_server_is_survived(
    namespace: Namespace, operator_kubeconfig: Path, start_operator: StartOperator
) -> None:
    with proxy_for(namespace.cluster) as proxy:
        operator = start_operator(through(proxy, namespace.cluster, operator_kubeconfig))
        namespace.apply("before")
        namespace.until_phase("Starting", "before")
        proxy.shut()
        namespace.apply("during")
        time.sleep(4)
        proxy.open()
        namespace.until_phase("Starting", "during")
        assert operator.running


def test_what_vanished_between_two_watches_is_missed(
    namespace: Namespace, operator_kubeconfig: Path, start_operator: StartOperator
) -> None:
    """kopf lists anew after 410, which shows a deletion only by what is not there."""
    with proxy_for(namespace.cluster) as proxy:
        start_operator(through(proxy, namespace.cluster, operator_kubeconfig))
        namespace.apply()
        first = namespace.job()["metadata"]
        namespace.until_phase("Starting")
        proxy.freeze_watches()
        namespace.remove("jobs", first["name"])
        namespace.until(lambda: not namespace.objects("jobs"), "Job deleted")
        proxy.expire_watches()
        assert namespace.job()["metadata"]["uid"] != first["uid"]


@pytest.mark.slow
def test_a_watch_that_falls_silent_is_noticed(
    namespace: Namespace, operator_kubeconfig: Path, start_operator: StartOperator
) -> None:
    with proxy_for(namespace.cluster) as proxy:
        start_operator(through(proxy, namespace.cluster, operator_kubeconfig))
        namespace.apply("before")
        namespace.until_phase("Starting", "before")
        proxy.freeze_watches()
        namespace.apply("after")
        namespace.until_phase("Starting", "after", seconds=_INACTIVITY_SECONDS + 60)


def test_missing_rights_are_named(namespace: Namespace, tmp_path: Path) -> None:
    token = namespace.cluster.kubectl("create", "token", "default", "-n", namespace.name)
    kubeconfig = write_kubeconfig(namespace.cluster, namespace.cluster.server, token.stdout.strip(), "nobody")
    operator = OperatorProcess(tmp_path, kubeconfig, [namespace.name])
    operator.start()
    namespace.until(lambda: not operator.running, "end of the operator")
    assert operator.exit_code == 1
    assert f"create jobs in API group batch, in {namespace.name}" in operator.log


def test_it_ends_within_seconds_of_a_signal(namespace: Namespace, start_operator: StartOperator) -> None:
    operator = start_operator()
    namespace.apply()
    namespace.until_phase("Starting")
    assert operator.stop() < 10
    assert operator.exit_code == 0, operator.log
    assert "Traceback" not in operator.log


def test_nothing_is_asked_that_is_not_allowed(namespace: Namespace, start_operator: StartOperator) -> None:
    start_operator()
    namespace.apply()
    namespace.until_phase("Starting")
    refused = [
        line for line, _ in namespace.audit()
        if line["user"]["username"] == OPERATOR and line["responseStatus"]["code"] in (401, 403)
    ]  # fmt: skip
    assert refused == []


def proxy_for(cluster: ControlPlane, written: Callable[[int], None] = lambda _number: None) -> ApiProxy:
    return ApiProxy(cluster.server, cluster.credentials.authority, free_port(), written)


def through(proxy: ApiProxy, cluster: ControlPlane, kubeconfig: Path) -> Path:
    """A kubeconfig with the same credentials that goes through the proxy."""
    token = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    return write_kubeconfig(cluster, proxy.url, token, "proxy.kubeconfig")


def uid_of(namespace: Namespace, name: str) -> str:
    return str(next(t["metadata"]["uid"] for t in namespace.objects("finetunejobs") if t["metadata"]["name"] == name))


def reason_of(namespace: Namespace, name: str, condition: str) -> str:
    conditions = namespace.status(name).get("conditions", [])
    return next((str(c["reason"]) for c in conditions if c["type"] == condition), "")


def quiet(namespace: Namespace) -> bool:
    """Whether the operator has written nothing for two seconds."""
    before = namespace.writes_of(OPERATOR)
    time.sleep(2)
    return namespace.writes_of(OPERATOR) == before
