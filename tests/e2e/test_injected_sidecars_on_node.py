"""A mesh that adds its proxy to every pod: jobs end with their trainer, though the proxy runs on.

The proxy is added by an admission policy of the cluster, beside what the operator asked for, as a mesh's webhook does.
"""

import json
from collections.abc import Callable, Iterator

import pytest
from kubectl_commands import Json, Kubectl, wait_until
from small_pods import python_pod
from state import Bed
from tuning_jobs import Tuning, endless_job, tiny_job

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]
POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
NAME = "finetune-test-mesh"


def policy(image: str, namespace: str) -> list[Json]:
    """A policy that adds a container which never ends to each pod of one namespace, and its binding."""
    program = "import time, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); time.sleep(1e6)"
    security = (
        "Object.spec.containers.securityContext{allowPrivilegeEscalation: false, runAsNonRoot: true,"
        ' capabilities: Object.spec.containers.securityContext.capabilities{drop: ["ALL"]}}'
    )
    container = (
        f'Object.spec.containers{{name: "proxy", image: "{image}", command: ["python3", "-c", {json.dumps(program)}],'
        f" securityContext: {security}}}"
    )
    change = f'[JSONPatch{{op: "add", path: "/spec/containers/-", value: {container}}}]'
    api = {"apiVersion": "admissionregistration.k8s.io/v1beta1"}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    spec = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": change}}],
    }
    return [
        {**api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": NAME}, "spec": spec},
        {
            **api,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": NAME},
            "spec": {"policyName": NAME},
        },
    ]


@pytest.fixture(scope="module")
def meshed(kubectl: Kubectl, bed: Bed, namespace_with_credentials: Callable[[str], str]) -> Iterator[str]:
    """A namespace whose pods get a proxy."""
    if POLICIES not in kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "-o", "name"):
        pytest.skip("this cluster has no MutatingAdmissionPolicy (v1beta1)")
    namespace = namespace_with_credentials("mesh")
    objects = policy(bed.operator_image, namespace)
    kubectl.apply(*objects)
    pod = json.dumps(python_pod("probe", namespace, bed.operator_image, "pass"))

    def changed() -> str:
        return kubectl.tried("create", "--dry-run=server", "-f", "-", "-o", "json", stdin=pod).stdout

    wait_until("pods get a proxy", lambda: '"proxy"' in changed(), 30, tell=changed)
    yield namespace
    for item in objects:
        kubectl("delete", item["kind"], NAME)


def containers(tuning: Tuning) -> set[str]:
    return {container["name"] for pod in tuning.pods() for container in pod["spec"]["containers"]}


def test_a_job_succeeds_and_its_pod_does_not_run_on(meshed: str, kubectl: Kubectl) -> None:
    tuning = Tuning(kubectl, meshed, "meshed")
    kubectl.apply(tiny_job(tuning.name, meshed))
    wait_until("its pod has a proxy", lambda: containers(tuning) == {"trainer", "proxy"}, 90, tell=tuning.told)
    status = tuning.wait_for_phase("Succeeded", seconds=180)
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Succeeded"]

    def running() -> list[str]:
        return [pod["metadata"]["name"] for pod in tuning.pods() if pod["status"]["phase"] in ("Pending", "Running")]

    wait_until("no pod of it runs", lambda: not running(), 90, tell=tuning.told)


def test_a_broken_job_fails_once_and_says_why(meshed: str, kubectl: Kubectl) -> None:
    tuning = Tuning(kubectl, meshed, "broken")
    kubectl.apply(tiny_job(tuning.name, meshed, data={"columns": {"text": "none", "label": "label"}}))
    status = tuning.wait_for_phase("Failed", seconds=180)
    assert status["failure"]["code"] == "ColumnMissing"
    assert len(status["attempts"]) == 1


def test_a_meshed_job_can_be_suspended_and_deleted(meshed: str, kubectl: Kubectl) -> None:
    tuning = Tuning(kubectl, meshed, "endless")
    kubectl.apply(endless_job(tuning.name, meshed))
    tuning.wait_for_training()
    tuning.patch_run_policy(suspend=True)
    tuning.wait_for_phase("Suspended", seconds=60)
    tuning.delete()
    wait_until("its pods are gone", lambda: not tuning.pods(), 60)
