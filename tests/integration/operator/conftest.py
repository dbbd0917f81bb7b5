"""A control plane with controllers, and operators with exactly the rights that they ask for."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from binaries import BinaryMissingError, find
from control_plane import ControlPlane, free_port
from definitions import CRD, Definition
from operator_process import OperatorProcess, StartOperator
from played_node import PlayedNode
from started_job import StartedJob
from tuning import Namespace, write_kubeconfig

from finetune_operator.permissions import NEEDED

_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_numbers = count(1)


@pytest.fixture(scope="session")
def controllers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane in which Jobs get pods, with the CRD. Where it can't be had: a skip, or a failure if required."""
    try:
        for name in _PROGRAMS:
            find(name)
    except BinaryMissingError as missing:
        if os.environ.get("FINETUNE_REQUIRE_CONTROL_PLANE", "0") not in ("", "0"):
            pytest.fail(f"no control plane: {missing} (and FINETUNE_REQUIRE_CONTROL_PLANE is set)", pytrace=False)
        pytest.skip(f"no control plane: {missing}")
    folder = tmp_path_factory.mktemp("controllers")
    with ControlPlane(folder, controllers=True, audit=True) as cluster:
        applied = cluster.kubectl("apply", "-f", str(CRD))
        assert applied.returncode == 0, applied.stderr
        cluster.wait_for("/apis/finetune.dev/v1alpha1/finetunejobs")
        yield cluster


@pytest.fixture(scope="session")
def operator_kubeconfig(controllers: ControlPlane) -> Path:
    """Credentials of a service account that has what `permissions.NEEDED` lists, everywhere, and nothing else."""
    rules = [{"apiGroups": [group], "resources": [resource], "verbs": list(verbs)} for group, resource, verbs in NEEDED]
    account = {"kind": "ServiceAccount", "name": "operator", "namespace": "finetune-system"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "finetune-operator"}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    for path, body in (
        ("/api/v1/namespaces", {"metadata": {"name": "finetune-system"}}),
        ("/api/v1/namespaces/finetune-system/serviceaccounts", {"metadata": {"name": "operator"}}),
        (f"{rbac}/clusterroles", {"metadata": {"name": "finetune-operator"}, "rules": rules}),
        (
            f"{rbac}/clusterrolebindings",
            {"metadata": {"name": "finetune-operator"}, "subjects": [account], "roleRef": reference},
        ),
    ):
        code, answer = controllers.request("POST", path, body)
        assert code == 201, answer
    token = controllers.kubectl("create", "token", "operator", "-n", "finetune-system", "--duration=8h")
    assert token.returncode == 0, token.stderr
    return write_kubeconfig(controllers, controllers.server, token.stdout.strip(), "operator.kubeconfig")


@pytest.fixture
def namespace(controllers: ControlPlane) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    made = Namespace(controllers, f"test-{next(_numbers)}")
    made.create()
    yield made
    made.delete()


@pytest.fixture
def definition(controllers: ControlPlane) -> Iterator[Definition]:
    """The CRD, to be changed by the test and as it was after it."""
    made = Definition(controllers)
    yield made
    made.replace()


@pytest.fixture
def node(controllers: ControlPlane, namespace: Namespace) -> PlayedNode:
    """Plays the kubelet in that namespace."""
    return PlayedNode(controllers, namespace.name)


@pytest.fixture
def start_operator(operator_kubeconfig: Path, namespace: Namespace, tmp_path: Path) -> Iterator[StartOperator]:
    """A function that starts an operator for the test's namespace, by default with the operator's own rights."""
    with ExitStack() as stack:

        def start(kubeconfig: Path = operator_kubeconfig, name: str = "operator") -> OperatorProcess:
            return stack.enter_context(OperatorProcess(tmp_path / name, kubeconfig, [namespace.name]))

        yield start


@pytest.fixture
def started(namespace: Namespace, node: PlayedNode, start_operator: StartOperator) -> StartedJob:
    """A FineTuneJob whose pod runs under an operator."""
    operator, uid = start_operator(), namespace.apply()
    pod = namespace.pod()
    node.start(pod)
    return StartedJob(operator, uid, pod)


@pytest.fixture
def port() -> int:
    """A free port for a server of the test's."""
    return free_port()
