"""The chart's admission policies on a real API server: tenants can't claim results, and nobody else is in the way."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from control_plane import ControlPlane
from operator_process import OperatorProcess
from played_node import PlayedNode, success
from tuning import Namespace, write_kubeconfig

from finetune_operator.labels import MODE

if TYPE_CHECKING:
    from conftest import Helm

pytestmark = pytest.mark.timeout(1800)  # the first test on a machine may have to build the API server

Json = dict[str, Any]
CHART = Path(__file__).parents[3] / "charts" / "finetune-operator"
LABEL, RUN = "finetune.dev/job-uid", "finetune.dev/run"
TENANT = "tenant"
OPERATOR = "finetune-finetune-operator"
CONTAINER = {"name": "trainer", "image": "busybox"}
SWITCHES = {"admissionPolicy.denyDebugging": "true"}
POLICIES = ["debug", "exec", "job-status", "jobs", "operator-jobs", "operator-pods", "pod-status", "pods", "status"]


class Kubelet(PlayedNode):
    """A played node that writes as the node of the pod. kubectl reads before, which nodes may not."""

    def _write(self, pod: str, status: Json) -> None:
        node = self._cluster.request("GET", f"/api/v1/namespaces/{self._namespace}/pods/{pod}")[1]["spec"]["nodeName"]
        groups = ("--as-group", "system:nodes", "--as-group", "system:masters")
        change = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        command = ("patch", "pod", pod, "-n", self._namespace, *change, "--as", f"system:node:{node}", *groups)
        done = self._cluster.kubectl(*command)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def guarded(helm: "Helm", tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with the release in it, and a tenant who is the administrator of all that is in `team-a`."""
    with ControlPlane(tmp_path_factory.mktemp("guarded"), controllers=True) as cluster:
        for name in ("finetune", "team-a"):
            assert cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
            cluster.wait_for(f"/api/v1/namespaces/{name}/serviceaccounts/default")
        values = [f"--set={name}={value}" for name, value in SWITCHES.items()]
        place = ("--namespace", "finetune", "--kubeconfig", cluster.kubeconfig)
        installed = helm("install", "finetune", CHART, *place, *values)
        assert installed.returncode == 0, installed.stderr
        cluster.wait_for("/apis/finetune.dev/v1alpha1/finetunejobs")
        everything = ("create", "role", TENANT, "-n", "team-a", "--verb=*", "--resource=pods,jobs.batch,*.finetune.dev")
        bound = ("create", "rolebinding", TENANT, "-n", "team-a", f"--role={TENANT}", f"--user={TENANT}")
        status = {"rules": [{"apiGroups": ["", "batch", "finetune.dev"], "resources": ["*"], "verbs": ["*"]}]}
        for command in (everything, bound, ("patch", "role", TENANT, "-n", "team-a", "-p", json.dumps(status))):
            done = cluster.kubectl(*command)
            assert done.returncode == 0, done.stderr
        Namespace(cluster, "team-a").until(lambda: "Forbidden" in refusal(cluster, pod("early", job_uid="x")), "policy")
        yield cluster


@pytest.fixture
def team(guarded: ControlPlane) -> Namespace:
    return Namespace(guarded, "team-a")


@pytest.fixture
def running(guarded: ControlPlane, team: Namespace, tmp_path: Path) -> Iterator[str]:
    """A FineTuneJob whose pod runs, under an operator that has the rights of the release; yields the pod's name."""
    token = guarded.kubectl("create", "token", OPERATOR, "-n", "finetune", "--duration=1h").stdout.strip()
    kubeconfig = write_kubeconfig(guarded, guarded.server, token, "release.kubeconfig")
    with OperatorProcess(tmp_path / "operator", kubeconfig, ["team-a"]):
        team.apply("movies")
        try:
            pod = str(team.until(lambda: pods_of_movies(team), "a pod")[0]["metadata"]["name"])
            kubelet = Kubelet(guarded, "team-a")
            kubelet.take(pod)
            kubelet.start(pod)
            team.until(lambda: team.status().get("startTime"), "start")
            yield pod
        finally:
            team.remove("finetunejobs", "movies")
            clear(team)


def clear(team: Namespace) -> None:
    """Remove all Jobs and pods, and wait until nothing of them is left."""
    for kind in ("jobs", "pods"):
        team.cluster.kubectl("delete", kind, "--all", "-n", "team-a", "--force", "--grace-period=0")
    team.until(lambda: not any(team.objects(kind) for kind in ("finetunejobs", "jobs", "pods")), "end of everything")


def pods_of_movies(team: Namespace) -> list[Json]:
    return [one for one in team.objects("pods") if LABEL in one["metadata"].get("labels", {})]


def pod(name: str, job_uid: str = "") -> Json:
    labels = {LABEL: job_uid} if job_uid else {}
    meta = {"name": name, "namespace": "team-a", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [CONTAINER]}}


def job(name: str, *, label: bool = False, label_pods: bool = False) -> Json:
    metas: list[Json] = [{"labels": {LABEL: "some-uid"}} if wanted else {} for wanted in (label, label_pods)]
    template = {"metadata": metas[1], "spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    meta = {"name": name, "namespace": "team-a", **metas[0]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}}


def refusal(cluster: ControlPlane, body: Json) -> str:
    """What the tenant is told who creates an object; empty where it is created."""
    done = cluster.kubectl("--as", TENANT, "create", "-f", "-", stdin=json.dumps(body))
    return done.stderr if done.returncode else ""


def patched(cluster: ControlPlane, kind: str, name: str, change: Json, *more: str) -> str:
    """The same for a change."""
    command = ("patch", kind, name, "-n", "team-a", "--type=merge", "-p", json.dumps(change))
    done = cluster.kubectl("--as", TENANT, *command, *more)
    return done.stderr if done.returncode else ""


def test_the_expressions_have_the_types_that_they_need(guarded: ControlPlane, team: Namespace) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

    def checked() -> list[Json] | None:
        items = guarded.request("GET", path)[1]["items"]
        return items if all("typeChecking" in one.get("status", {}) for one in items) else None

    found = team.until(checked, "checks of types")
    assert [one["metadata"]["name"] for one in found] == [f"{OPERATOR}-{name}" for name in POLICIES]
    assert [one["status"]["typeChecking"].get("expressionWarnings") for one in found] == [None] * len(POLICIES)


def test_a_tenant_makes_pods_and_jobs_but_none_that_claim_to_be_ours(guarded: ControlPlane, team: Namespace) -> None:
    owned = pod("owned", job_uid="some-uid")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "movies-1234", "uid": "some-uid", "controller": True}
    owned["metadata"]["ownerReferences"] = [owner]
    for claimed in (pod("claims", job_uid="some-uid"), owned):
        assert f"pods with the label {LABEL} are made by the Job controller" in refusal(guarded, claimed)
    for claims in ({"label": True}, {"label_pods": True}, {"label": True, "label_pods": True}):
        assert f"Jobs with the label {LABEL} are made by finetune-operator" in refusal(guarded, job("claims", **claims))
    assert refusal(guarded, pod("plain")) == refusal(guarded, job("plain")) == ""
    own = team.until(lambda: [one for one in names(team) if one.startswith("plain-")], "pod of the tenant's Job")
    label = {"metadata": {"labels": {LABEL: "some-uid"}}}
    for kind, name in (("pod", "plain"), ("pod", own[0]), ("job", "plain")):
        assert "Forbidden" in patched(guarded, kind, name, label)
        assert patched(guarded, kind, name, {"metadata": {"labels": {"other": "label"}}}) == ""
    clear(team)


def test_the_operator_s_account_writes_jobs_and_pods_of_trainers_only(guarded: ControlPlane, team: Namespace) -> None:
    """So its token, where it leaks, gives nobody the nodes or the pods of others."""
    wanted: dict[str, Json] = {
        "Jobs of trainers only": {},
        "node's network, processes or folders": {"hostPID": True},
        "network, processes or folders": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        "privileged containers": {"containers": [{**CONTAINER, "securityContext": {"privileged": True}}]},
    }
    as_operator = ("--as", f"system:serviceaccount:finetune:{OPERATOR}")
    for words, spec in wanted.items():
        made = job("wanted", label=bool(spec), label_pods=bool(spec))
        made["spec"]["template"]["spec"] |= spec
        assert words in guarded.kubectl(*as_operator, "create", "-f", "-", stdin=json.dumps(made)).stderr
    assert refusal(guarded, pod("plain")) == ""
    note = ("patch", "pod", "plain", "-n", "team-a", "--type=merge", "-p", '{"metadata":{"annotations":{"note":"x"}}}')
    told = guarded.kubectl("--as-group", "system:masters", *as_operator, *note).stderr
    assert "finetune-operator writes pods of trainers only" in told
    clear(team)


def test_the_run_file_of_a_job_that_waits_in_a_queue_stays_as_it_is(guarded: ControlPlane, team: Namespace) -> None:
    waiting = job("waiting", label=True, label_pods=True)
    waiting["spec"]["suspend"] = True
    waiting["spec"]["template"]["metadata"]["annotations"] = {RUN: "{}"}
    as_operator = ("--as", f"system:serviceaccount:finetune:{OPERATOR}")
    created = guarded.kubectl(*as_operator, "create", "-f", "-", stdin=json.dumps(waiting))
    assert created.returncode == 0, created.stderr

    def annotated(name: str) -> str:
        change = {"spec": {"template": {"metadata": {"annotations": {name: "another"}}}}}
        return patched(guarded, "job", "waiting", change)

    assert "the run file of a trainer's Job is not to be changed" in annotated(RUN)
    assert annotated("note") == ""
    clear(team)


def names(team: Namespace) -> list[str]:
    return [one["metadata"]["name"] for one in team.objects("pods")]


def test_the_pod_of_a_job_runs_as_it_was_made(guarded: ControlPlane, team: Namespace, running: str) -> None:
    changes: dict[str, Json] = {
        "the owner of a trainer's pod": {"metadata": {"ownerReferences": []}},
        f"the labels {LABEL}": {"metadata": {"labels": {LABEL: "another"}}},
        "and finetune.dev/mode of a trainer's pod": {"metadata": {"labels": {MODE: None}}},
        "the run file of a trainer's pod": {"metadata": {"annotations": {RUN: "{}"}}},
    }
    for words, change in changes.items():
        assert words in patched(guarded, "pod", running, change)
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "busybox"}]
    command = ("patch", "pod", running, "-n", "team-a", "--type=json", "-p", json.dumps(image))
    assert "the images of a trainer's pod are not to be changed" in guarded.kubectl("--as", TENANT, *command).stderr
    assert patched(guarded, "pod", running, {"metadata": {"annotations": {"note": "mine"}}}) == ""
    assert "written by finetune-operator only" in patched(
        guarded, "finetunejob", "movies", {"status": {"phase": "Succeeded"}}, "--subresource=status"
    )
    uid = team.read()["metadata"]["uid"]
    Kubelet(guarded, "team-a").end(running, 0, success(uid))
    team.until_phase("Succeeded")


def test_how_a_pod_ends_is_told_by_its_node(guarded: ControlPlane, team: Namespace, running: str) -> None:
    """Also for tenants who may write statuses of pods and Jobs, labels and owners included."""
    ended = {"exitCode": 0, "message": success(team.read()["metadata"]["uid"])}
    trainer = {"name": "trainer", "image": "i", "imageID": "i", "restartCount": 0, "ready": False}
    forged: list[Json] = [
        {"containerStatuses": [{**trainer, "state": {"terminated": ended}}]},
        {"phase": "Succeeded"},
        {"podIP": "127.0.0.9", "podIPs": [{"ip": "127.0.0.9"}]},
    ]
    for status in forged:
        told = patched(guarded, "pod", running, {"status": status}, "--subresource=status")
        assert "is reported by its node and by Kubernetes' controllers only" in told
    through_status = patched(
        guarded, "pod", running, {"metadata": {"annotations": {RUN: "{}"}}}, "--subresource=status"
    )
    assert "the run file of a trainer's pod is not to be changed" in through_status
    gate = {"conditions": [{"type": "example.com/seen", "status": "True"}]}
    assert patched(guarded, "pod", running, {"status": gate}, "--subresource=status", "--type=strategic") == ""

    job = team.job()["metadata"]["name"]
    told = patched(guarded, "job", job, {"status": {"failed": 9}}, "--subresource=status")
    assert "how a trainer's Job ends is reported by the Job controller only" in told
    Kubelet(guarded, "team-a").end(running, 0, success(team.read()["metadata"]["uid"]))
    team.until_phase("Succeeded")


def test_no_command_is_run_in_a_pod_where_debugging_is_denied(guarded: ControlPlane, running: str) -> None:
    assert refusal(guarded, pod("other")) == ""
    Kubelet(guarded, "team-a").take("other")
    for command in (("exec", "%s", "--", "ls"), ("attach", "%s"), ("debug", "%s", "--image=busybox")):
        told = {name: debugged(guarded, name, command) for name in (running, "other")}
        assert "denyDebugging): whoever runs them could claim a result" in told[running]
        assert "denyDebugging" not in told["other"]


def debugged(cluster: ControlPlane, name: str, command: tuple[str, ...]) -> str:
    """What the tenant is told who debugs a pod."""
    words = [word.replace("%s", name) for word in command]
    return cluster.kubectl("--as", TENANT, *words[:1], "-n", "team-a", *words[1:]).stderr


@pytest.mark.usefixtures("running")
def test_a_pod_that_names_our_job_is_not_taken_for_one_of_its_pods(guarded: ControlPlane, team: Namespace) -> None:
    """The Job controller adopts pods without an owner that have the labels of the Job's selector, and counts them."""
    job = team.job()
    forged = pod("forged")
    labels = {MODE: "Train"}
    for prefix in ("", "batch.kubernetes.io/"):
        labels |= {f"{prefix}controller-uid": job["metadata"]["uid"], f"{prefix}job-name": job["metadata"]["name"]}
    forged["metadata"] |= {"labels": labels, "annotations": {"batch.kubernetes.io/job-completion-index": "0"}}
    assert refusal(guarded, forged) == ""
    Kubelet(guarded, "team-a").take("forged")
    Kubelet(guarded, "team-a").end("forged", 0, "")
    nudged = {"metadata": {"annotations": {"note": "look again"}}}
    assert patched(guarded, "job", job["metadata"]["name"], nudged) == ""
    time.sleep(3)
    status = team.job()["status"]
    assert (status.get("succeeded", 0), status.get("conditions", []), status["active"]) == (0, [], 1)
    assert (
        next(one for one in team.objects("pods") if one["metadata"]["name"] == "forged")["metadata"].get(
            "ownerReferences"
        )
        is None
    )


def test_labels_that_were_taken_come_back_and_owners_that_go_are_taken_away(
    guarded: ControlPlane, team: Namespace, running: str
) -> None:
    job = team.job()["metadata"]["name"]
    assert patched(guarded, "job", job, {"metadata": {"labels": {LABEL: None}}}) == ""
    team.until(lambda: LABEL in team.job()["metadata"]["labels"], "the label, which the operator gives back")
    deleted = guarded.kubectl("--as", TENANT, "delete", "job", job, "-n", "team-a", "--cascade=orphan", "--wait=false")
    assert deleted.returncode == 0, deleted.stderr

    def has_no_owner() -> bool:
        found = [one["metadata"] for one in team.objects("pods") if one["metadata"]["name"] == running]
        return not any(one.get("ownerReferences") for one in found)

    team.until(has_no_owner, "the pod without its owner, as the garbage collector leaves it")
