"""What is watched goes away: the operator ends, and a restart serves what there is."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from control_plane import ControlPlane
from operator_process import OperatorProcess, StartOperator
from tuning import Json, Namespace, write_kubeconfig

from finetune_operator.permissions import NEEDED

CRD = Path(__file__).parents[3] / "crds" / "finetunejobs.yaml"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_numbers = count(1)


class Teams:
    """Two namespaces, each with the chart's Role for one service account."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster
        number = next(_numbers)
        self.one, self.two = (Namespace(cluster, f"team-{name}-{number}") for name in ("one", "two"))
        for team in (self.one, self.two):
            self.grant(team)
        token = cluster.kubectl("create", "token", "default", "-n", self.one.name)
        self.kubeconfig = write_kubeconfig(cluster, cluster.server, token.stdout.strip(), f"teams-{number}")

    def grant(self, team: Namespace) -> None:
        """Create the namespace, with its Role."""
        team.create()
        rules = [{"apiGroups": [g], "resources": [r], "verbs": list(verbs)} for g, r, verbs in NEEDED]
        account = {"kind": "ServiceAccount", "name": "default", "namespace": self.one.name}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
        role: Json = {"metadata": {"name": "operator"}, "rules": rules}
        binding: Json = {"metadata": {"name": "operator"}, "subjects": [account], "roleRef": reference}
        for kind, body in (("roles", role), ("rolebindings", binding)):
            code, answer = self.cluster.request("POST", f"{_RBAC}/namespaces/{team.name}/{kind}", body)
            assert code == 201, answer

    def drop(self, team: Namespace) -> None:
        """Delete a namespace, and wait until it is gone."""
        team.delete()
        team.until(lambda: self.cluster.request("GET", f"/api/v1/namespaces/{team.name}")[0] == 404, "its end")


@pytest.fixture
def teams(controllers: ControlPlane) -> Iterator[Teams]:
    made = Teams(controllers)
    yield made
    made.one.delete()
    made.two.delete()


@pytest.fixture
def start(teams: Teams, tmp_path: Path) -> Iterator[Callable[[], OperatorProcess]]:
    """Starts an operator for both."""
    with ExitStack() as stack:
        names = [teams.one.name, teams.two.name]
        yield lambda: stack.enter_context(OperatorProcess(tmp_path / "operator", teams.kubeconfig, names))


@pytest.mark.slow
def test_a_namespace_that_is_gone_is_left_out_until_it_is_back(
    teams: Teams, start: Callable[[], OperatorProcess]
) -> None:
    teams.drop(teams.two)
    operator = start()
    teams.one.apply()
    teams.one.until_phase("Starting")
    said = [line for line in operator.log.splitlines() if teams.two.name in line]
    assert len(said) == 1, operator.log
    assert "does not exist, or has no Role of the chart: it is left out" in said[0]
    assert "finetune_namespaces_left_out 1.0" in operator.metrics()
    teams.grant(teams.two)
    teams.one.until(lambda: not operator.running, "the end of the operator")
    assert f"namespace {teams.two.name} can be served now; starting again" in operator.log
    operator.start()
    operator.wait_until_ready()
    teams.two.apply()
    teams.two.until_phase("Starting")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 3])
def test_a_crd_that_was_made_anew_is_watched_again(
    seconds: int, namespace: Namespace, start_operator: StartOperator
) -> None:
    """As long as it is gone, the operator ends and says what is missing; kopf alone would live on and see nothing."""
    operator = start_operator()
    namespace.apply("before")
    namespace.until_phase("Starting", "before")
    cluster = namespace.cluster
    assert cluster.kubectl("delete", "-f", str(CRD), "--timeout=60s").returncode == 0
    if seconds:
        namespace.until(lambda: not operator.running, "the end of the operator")
        assert operator.exit_code == 1
        assert "starting again" in operator.log
    assert cluster.kubectl("apply", "-f", str(CRD)).returncode == 0
    cluster.wait_for("/apis/finetune.dev/v1alpha1/finetunejobs")

    def alive() -> bool:
        """Restart it as Kubernetes does, until it finds what it needs."""
        if not operator.running:
            operator.start()
        return namespace.phase("after") == "Starting"

    namespace.apply("after")
    namespace.until(alive, "a job under the new CRD")
