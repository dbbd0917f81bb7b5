"""The chart on a real API server: every object is taken without a warning, and grants what it should and no more."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from finetune_api.job import FineTuneJob

if TYPE_CHECKING:
    from control_plane import ControlPlane

    from conftest import Helm

pytestmark = pytest.mark.timeout(1800)  # the first test on a machine may have to build the API server

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "finetune-operator"
VALUES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "data" / "chart_values.yaml").read_text("utf-8"))
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def tried(cluster: "ControlPlane", objects: list[dict[str, Any]]) -> tuple[int, str]:
    """Exit code and messages of a dry run on the server, with fields checked strictly."""
    command = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    done = cluster.kubectl(*command, stdin=yaml.safe_dump_all(objects))
    return done.returncode, done.stderr


def allowed(cluster: "ControlPlane", namespace: str, verb: str, resource: str) -> bool:
    """Whether the operator of the release `finetune` may do that."""
    path, _, group = resource.partition(".")
    name, _, part = path.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": part}
    user = "system:serviceaccount:finetune:finetune-finetune-operator"
    _, answer = cluster.request("POST", REVIEWS, {"spec": {"user": user, "resourceAttributes": attributes}})
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize("name", VALUES)
def test_the_server_takes_every_object_without_a_warning(helm: "Helm", cluster: "ControlPlane", name: str) -> None:
    # Test pods need the service account of the namespace, which a controller makes in a real cluster.
    objects = [o for o in helm.render(VALUES[name]) if o["kind"] != "Pod"]
    assert tried(cluster, objects) == (0, "")


def test_the_pod_of_helm_test_is_taken_too(helm: "Helm", cluster: "ControlPlane") -> None:
    cluster.kubectl("-n", "finetune", "create", "serviceaccount", "default")
    objects = [o for o in helm.render({}) if o["kind"] == "Pod"]
    assert len(objects) == 1
    assert tried(cluster, objects) == (0, "")


def test_a_pod_that_is_not_restricted_would_be_noticed(helm: "Helm", cluster: "ControlPlane") -> None:
    objects = [o for o in helm.render({"podSecurityContext": {"runAsNonRoot": False}}) if o["kind"] == "Deployment"]
    _, told = tried(cluster, objects)
    assert 'would violate PodSecurity "restricted:latest"' in told


@pytest.mark.parametrize("values", [{}, VALUES["namespaced"]], ids=["everywhere", "namespaced"])
def test_install_upgrade_and_uninstall(
    helm: "Helm", cluster: "ControlPlane", values: dict[str, Any], tmp_path: Path
) -> None:
    older = _with_older_crd(tmp_path / "older")
    where = ("--namespace", "finetune", "--kubeconfig", cluster.kubeconfig)
    # The CRD may be there already, from kubectl.
    installed = helm("install", "finetune", older, *where, "--take-ownership", values=values)
    assert installed.returncode == 0, installed.stderr
    try:
        assert "kubectl" in installed.stdout
        _check_rights(cluster, elsewhere=not values)
        assert "Queue" not in _columns(cluster)
        upgraded = helm("upgrade", "finetune", CHART, *where, values={**values, "settings": {"workers": 2}})
        assert upgraded.returncode == 0, upgraded.stderr
        config_map = cluster.kubectl("-n", "finetune", "get", "configmap", "finetune-finetune-operator", "-o", "json")
        assert "workers: 2" in json.loads(config_map.stdout)["data"]["settings.yaml"]
        assert "Queue" in _columns(cluster)
    finally:
        removed = helm("uninstall", "finetune", *where)
    assert removed.returncode == 0, removed.stderr
    kinds = "crd,deployments,services,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
    selector = ("-A", "-l", "app.kubernetes.io/part-of=finetune", "-o", "name")
    left = cluster.kubectl("get", kinds, *selector).stdout.split()
    assert left == ["customresourcedefinition.apiextensions.k8s.io/finetunejobs.finetune.dev"]


def _with_older_crd(folder: Path) -> Path:
    """The chart as it was when the CRD had one column less."""
    shutil.copytree(CHART, folder)
    path = folder / "files" / "finetunejobs.yaml"
    crd = yaml.safe_load(path.read_text())
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    columns[:] = [column for column in columns if column["name"] != "Queue"]
    path.write_text(yaml.safe_dump(crd, sort_keys=False))
    return folder


def _columns(cluster: "ControlPlane") -> list[str]:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/finetunejobs.finetune.dev"
    _, crd = cluster.request("GET", path)
    return [column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_the_first_job_of_the_notes_is_one(helm: "Helm", cluster: "ControlPlane") -> None:
    crd = [o for o in helm.render({}) if o["kind"] == "CustomResourceDefinition"]
    applied = cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(crd))
    assert applied.returncode == 0, applied.stderr
    cluster.wait_for("/apis/finetune.dev/v1alpha1/finetunejobs")
    where = ("--namespace", "finetune", "--kubeconfig", cluster.kubeconfig)
    values = {"profiles": {"default": None}, "crds": {"install": False}}
    notes = helm("install", "finetune", CHART, *where, "--dry-run=server", values=values).stdout
    objects = list(yaml.safe_load_all(notes.partition("<<EOF\n")[2].partition("\nEOF\n")[0]))
    assert [o["kind"] for o in objects] == ["PersistentVolumeClaim", "FineTuneJob"]
    assert objects[1]["spec"]["compute"]["profile"] == "cpu-small"
    assert FineTuneJob.model_validate(objects[1]).metadata.name == "first"
    assert tried(cluster, objects) == (0, "")


def _check_rights(cluster: "ControlPlane", *, elsewhere: bool) -> None:
    for verb, resource in [
        ("list", "finetunejobs.finetune.dev"),
        ("update", "finetunejobs/status.finetune.dev"),
        ("create", "jobs.batch"),
        ("watch", "pods"),
        ("create", "events"),
    ]:
        assert allowed(cluster, "team-a", verb, resource), f"{verb} {resource}"
        assert allowed(cluster, "default", verb, resource) is elsewhere, f"{verb} {resource}"
    for verb, resource in [
        ("get", "secrets"),
        ("get", "configmaps"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("get", "pods/log"),
        ("update", "finetunejobs.finetune.dev"),
        ("update", "finetunejobs/finalizers.finetune.dev"),
        ("deletecollection", "jobs.batch"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
    ]:
        assert not allowed(cluster, "team-a", verb, resource), f"{verb} {resource}"
