"""The cluster, the release of the chart and the object store that the end-to-end tests share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bed import get_programs, running, up
from binaries import find, get_all
from helm_release import Release
from images import docker_runs
from kubectl_commands import Json, Kubectl, restricted_namespace
from object_store import DATA, open_bucket, upload
from obstore.store import S3Store
from prometheus_queries import Prometheus
from release_values import write_values
from s3_bucket import make_bucket
from small_pods import address_of, output_of, python_pod
from state import Bed, BedError, given
from tuning_jobs import SECRET, Tuning

ORDER = (
    "test_bed", "test_readme_on_kind", "test_examples_on_node", "test_prediction_on_node", "test_failures_on_node",
    "test_interruptions_on_node", "test_run_policy_on_node", "test_nothing_is_lost_on_node",
    "test_jobs_that_build_on_jobs", "test_first_contact_on_node", "test_injected_sidecars_on_node",
    "test_upgrade_from_an_earlier_version", "test_upgrade_and_uninstall", "test_granted_rights",
)  # fmt: skip
"""Modules in the order in which they make sense; the last one looks back on all of them."""
OURS = "finetune.dev/test=true"
"""Label of the namespaces that the tests make, and may delete in a cluster that has others."""
_SILENT_PORT = 9000
_SILENT = f"""
import socket, time
server = socket.create_server(("", {_SILENT_PORT}))
connections = []
while True:
    connections.append(server.accept())
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put our modules in their order, after all others."""
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.stem in ORDER else -1)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the programs of the tests and of the cluster that they will start: building takes longer than a test may."""
    chosen = any("bed" in getattr(item, "fixturenames", ()) for item in session.items)
    if not chosen or session.config.option.collectonly:
        return
    with suppress(BedError):  # the fixture says it
        if given() or running() or (_required() and docker_runs()):
            get_all(("kubectl", "helm"))
        elif _required():
            get_programs()


def _required() -> bool:
    return _asked_for("FINETUNE_REQUIRE_NODE")


def _asked_for(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


@pytest.fixture(scope="session")
def bed() -> Bed:
    """The cluster that is up; with FINETUNE_REQUIRE_NODE=1 it is started, and that must work; else a skip.

    With FINETUNE_REQUIRE_KIND=1 it must be up, and be one of kind.
    """
    try:
        found = given() or running() or (up() if _required() else None)
    except BedError as error:
        pytest.fail(f"no cluster, and FINETUNE_REQUIRE_NODE is set: {error}", pytrace=False)
    if _asked_for("FINETUNE_REQUIRE_KIND") and (found is None or found.kind != "kind"):
        pytest.fail(f"FINETUNE_REQUIRE_KIND is set and no kind cluster is up: {found and found.kind}", pytrace=False)
    if found is None:
        pytest.skip("no cluster: `make cluster-up images` makes one, or name yours (see tests/cluster/state.py)")
    return found


@pytest.fixture(scope="session")
def kubectl(bed: Bed) -> Kubectl:
    """kubectl as the cluster's administrator."""
    return Kubectl(str(find("kubectl")), Path(bed.kubeconfig))


@pytest.fixture(scope="session")
def release(bed: Bed, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The chart, installed as a user does it; what an earlier run left is removed first."""
    values = write_values(bed, tmp_path_factory.mktemp("release") / "values.yaml")
    made = Release(str(find("helm")), Path(bed.kubeconfig), values)
    if made.is_installed():
        made.uninstall()
    kubectl("delete", "namespaces", "-l", OURS, "--timeout=120s")
    kubectl.apply(restricted_namespace(made.namespace))
    made.install("--take-ownership")  # a CRD that a release of another name left
    yield made
    if made.is_installed():
        made.uninstall()


@pytest.fixture(scope="session")
def store(bed: Bed) -> S3Store:
    """The bucket `finetune` with models and rows in it, and all that jobs write."""
    make_bucket(bed.s3_local_endpoint, bed.s3_access_key, bed.s3_secret_key, "finetune")
    bucket = open_bucket(bed.s3_local_endpoint, bed.s3_access_key, bed.s3_secret_key)
    upload(bucket, "data", [DATA / "support_tickets.csv"])
    upload(bucket, "models/all-MiniLM-L6-v2", _files(_minilm()))
    return bucket


def _minilm() -> Path:
    fetch = DATA.parent / "fetch_model.py"
    done = subprocess.run([sys.executable, fetch], capture_output=True, text=True, check=True)
    return Path(unquote(urlsplit(done.stdout.strip()).path))


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.suffix in (".json", ".txt", ".safetensors")]


@pytest.fixture(scope="session")
def tiny_models(store: S3Store, tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three tiny models in the bucket.

    One trains in no time; the weights of one are no numbers; one knows no second text, which its config doesn't tell.
    """
    from safetensors.torch import load_file, save_file

    tiny = tiny_model("bert")
    upload(store, "models/tiny", _files(tiny))
    upload(store, "models/one-type", _files(tiny_model("bert", type_vocab_size=1)))
    damaged = tmp_path_factory.mktemp("damaged")
    weights = {name: tensor * float("nan") for name, tensor in load_file(tiny / "model.safetensors").items()}
    save_file(weights, damaged / "model.safetensors", {"format": "pt"})
    others = [file for file in _files(tiny) if file.suffix != ".safetensors"]
    upload(store, "models/damaged", [*others, damaged / "model.safetensors"])


@pytest.fixture(scope="session")
def namespace_with_credentials(bed: Bed, kubectl: Kubectl) -> Iterator[Callable[[str], str]]:
    """A function that makes a namespace with the object store's keys in it, whose pods must be restricted."""
    made: list[str] = []

    def make(purpose: str) -> str:
        namespace = restricted_namespace(f"finetune-test-{purpose}")
        name = str(namespace["metadata"]["name"])
        label, _, value = OURS.partition("=")
        namespace["metadata"]["labels"][label] = value
        keys = {key: value for key, value in bed.pod_credentials.items() if "KEY" in key}
        metadata = {"name": SECRET, "namespace": name}
        kubectl.apply(namespace, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})
        made.append(name)
        return name

    yield make
    if made:
        kubectl("delete", "namespace", *made, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="session")
def s3_environment(bed: Bed) -> dict[str, str]:
    """What a program of this machine needs to reach the object store."""
    return bed.credentials


@pytest.fixture(scope="session")
def s3_secrets(bed: Bed) -> list[str]:
    """What must not be told to anybody."""
    return [bed.s3_secret_key, bed.s3_access_key]


@pytest.fixture(scope="session")
def prometheus(bed: Bed) -> Prometheus:
    """The cluster's Prometheus."""
    if not bed.prometheus_url:
        pytest.skip("this cluster has no Prometheus: set FINETUNE_PROMETHEUS_URL")
    return Prometheus(bed.prometheus_url)


@pytest.fixture(scope="session")
def audit_log(bed: Bed) -> Path:
    """The API server's audit log."""
    if not bed.audit_log:
        pytest.skip("the audit log of this cluster can't be read: set FINETUNE_AUDIT_LOG")
    return Path(bed.audit_log)


@pytest.fixture
def applied(kubectl: Kubectl, namespace: str) -> Iterator[Callable[[Json], Tuning]]:
    """A function that applies a job in the module's namespace; it is deleted in the end."""
    made: list[Tuning] = []

    def apply(manifest: Json) -> Tuning:
        kubectl.apply(manifest)
        made.append(Tuning(kubectl, namespace, manifest["metadata"]["name"]))
        return made[-1]

    yield apply
    for tuning in made:
        tuning.delete()


@pytest.fixture
def run_in_pod(bed: Bed, kubectl: Kubectl) -> Callable[..., str]:
    """A function that runs a Python program in a pod and returns what it printed."""

    def run(namespace: str, program: str, claim: str = "") -> str:
        return output_of(kubectl, python_pod("reader", namespace, bed.operator_image, program, claim))

    return run


@pytest.fixture
def silent_store(bed: Bed, kubectl: Kubectl) -> Callable[[str], str]:
    """A function that starts a server which takes connections and never answers, and returns its address."""

    def start(namespace: str) -> str:
        return (
            f"http://{address_of(kubectl, python_pod('silent', namespace, bed.operator_image, _SILENT))}:{_SILENT_PORT}"
        )

    return start


@pytest.fixture(scope="session")
def scale_operator(kubectl: Kubectl, release: Release) -> Callable[[int], None]:
    """A function that stops the operator (0) or starts it (1), and waits for that."""

    def scale(replicas: int) -> None:
        scope = ("-n", release.namespace)
        kubectl("scale", "deployment", release.deployment, *scope, f"--replicas={replicas}")
        if replicas:
            kubectl("rollout", "status", "deployment", release.deployment, *scope, "--timeout=60s")
        else:
            selector = "app.kubernetes.io/name=finetune-operator"
            kubectl("wait", "--for=delete", "pod", "-l", selector, *scope, "--timeout=60s")

    return scale
