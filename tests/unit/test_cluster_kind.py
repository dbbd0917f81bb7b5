"""The kind path: what the node is asked to be, and that a cluster that is up answers."""

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import images
import kind
import kind_configuration
import pytest
import yaml
from state import BedError
from targets import scraping

ROOT = Path(__file__).parents[2]
KIND_YAML = ROOT / "tests" / "cluster" / "kind.yaml"


class Answers(BaseHTTPRequestHandler):
    """Answers 403 as a store without a signature does, then closes; `early` requests find nothing behind the port."""

    early = 0

    def do_GET(self) -> None:
        if type(self).early:
            type(self).early -= 1
            return  # the connection is taken and closed without a word, as Docker's proxy does
        self.send_response(200 if self.path == "/-/ready" else 403)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def test_a_port_answers_only_when_there_is_something_behind_it() -> None:
    class Late(Answers):
        early = 3

    with served(Late) as port:
        kind.wait_for_answer(port, "/", "the object store")
        assert Late.early == 0
        kind.wait_for_answer(port, "/-/ready", "Prometheus", 200)


def test_a_port_that_stays_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "_ANSWER_SECONDS", 0.3)
    with served(Answers) as port:
        with pytest.raises(BedError, match=rf"Prometheus does not answer on 127.0.0.1:{port} \(status 403\)"):
            kind.wait_for_answer(port, "/", "Prometheus", 200)
        refused = port
    with pytest.raises(BedError, match=r"the object store does not answer .*refused"):
        kind.wait_for_answer(refused, "/", "the object store")


def test_the_ports_of_the_node_are_those_of_the_services(tmp_path: Path) -> None:
    [node] = kind_configuration.configuration((kind._S3_PORT, kind._PROMETHEUS_PORT), tmp_path, tmp_path)["nodes"]
    services = [one for one in yaml.safe_load_all(KIND_YAML.read_text()) if one["kind"] == "Service"]
    opened = {mapping["containerPort"]: mapping for mapping in node["extraPortMappings"]}
    assert {port["nodePort"] for one in services for port in one["spec"]["ports"]} == set(opened)
    assert {mapping["listenAddress"] for mapping in opened.values()} == {"127.0.0.1"}
    assert all(mapping["hostPort"] == port for port, mapping in opened.items())


def test_a_node_has_the_image_that_is_named(tmp_path: Path) -> None:
    assert "image" not in kind_configuration.configuration((1,), tmp_path, tmp_path)["nodes"][0]
    [node] = kind_configuration.configuration((1,), tmp_path, tmp_path, "localhost/node:1")["nodes"]
    assert node["image"] == "localhost/node:1"


def of_targets(mount: dict[str, Any]) -> bool:
    return str(mount["hostPath"]).endswith("/targets")


def test_prometheus_reads_its_targets_from_a_folder_of_this_machine(tmp_path: Path) -> None:
    [node] = kind_configuration.configuration((1,), tmp_path / "audit", tmp_path / "targets")["nodes"]
    [shared] = [mount for mount in node["extraMounts"] if of_targets(mount)]
    documents = list(yaml.safe_load_all(KIND_YAML.read_text()))
    [prometheus] = [one for one in documents if one["kind"] == "Deployment" and one["metadata"]["name"] == "prometheus"]
    pod = prometheus["spec"]["template"]["spec"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "targets"]
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "targets"]
    assert volume["hostPath"]["path"] == shared["containerPath"]
    [job] = scraping(f"{mount['mountPath']}/{kind._TARGETS}")["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [f"{mount['mountPath']}/{kind._TARGETS}"]
    assert {one["kind"] for one in documents} == {"Namespace", "Deployment", "Service"}, "no rights are needed"


def test_the_audit_log_of_the_api_server_is_a_file_of_this_machine(tmp_path: Path) -> None:
    log = kind_configuration.make_audit_log(tmp_path)
    assert log.read_text() == ""
    [node] = kind_configuration.configuration((1,), log.parent, tmp_path / "targets")["nodes"]
    mounts = {mount["containerPath"]: Path(mount["hostPath"]) for mount in node["extraMounts"] if not of_targets(mount)}
    patches = {patch["apiVersion"].rpartition("/")[2]: patch for patch in map(json.loads, node["kubeadmConfigPatches"])}
    assert patches.keys() == {"v1beta3", "v1beta4"}
    plain = patches["v1beta3"]["apiServer"]["extraArgs"]
    assert {one["name"]: one["value"] for one in patches["v1beta4"]["apiServer"]["extraArgs"]} == plain
    policy, written = Path(plain["audit-policy-file"]), Path(plain["audit-log-path"])
    assert mounts[str(policy)].name == "audit-policy.yaml"
    assert mounts[str(policy)].is_file()
    assert mounts[str(written.parent)] / written.name == log
    for patch in patches.values():
        volumes = {one["mountPath"]: one for one in patch["apiServer"]["extraVolumes"]}
        assert volumes.keys() == mounts.keys()
        assert all(one["hostPath"] == path for path, one in volumes.items())
        assert volumes[str(policy)]["readOnly"]
        assert not volumes[str(written.parent)].get("readOnly")


@pytest.fixture
def played_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kind that writes down what it was asked and then fails; no engine of containers runs in these tests."""
    program = tmp_path / "bin" / "kind"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked; cat > {tmp_path}/nodes; echo no engine >&2; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_kind_is_asked_for_the_node_image_of_the_environment(
    played_kind: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUNE_KIND_NODE_IMAGE", "localhost/kind-node:v1.34.4")
    with pytest.raises(BedError, match=r"kind create cluster .* failed:\nno engine"):
        kind.up(played_kind / "bed")
    assert re.match(
        r"create cluster --name finetune --kubeconfig \S+/bed/kubeconfig", (played_kind / "asked").read_text()
    )
    [node] = json.loads((played_kind / "nodes").read_text())["nodes"]
    assert node["image"] == "localhost/kind-node:v1.34.4"
    assert Path(node["extraMounts"][1]["hostPath"]).is_dir()


def test_without_kind_its_address_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BedError, match="kind is missing: install it"):
        kind.up(tmp_path)


@pytest.mark.parametrize(
    "complaint",
    [
        "unknown flag: --secret\nSee 'docker build --help'.",
        "ERROR: BuildKit is enabled but the buildx component is missing or broken.",
        "the --mount option requires BuildKit. Refer to the documentation",
        '"--secret" is only supported on a Docker daemon with BuildKit enabled',
    ],
)
def test_a_builder_without_buildkit_is_explained(complaint: str) -> None:
    assert "buildx" in images.builder_remedy(complaint)
    assert "DOCKER_BUILDKIT=1" in images.builder_remedy(complaint)


def test_other_complaints_of_the_builder_stand_alone() -> None:
    assert images.builder_remedy("ERROR: failed to solve: process pip install did not complete") == ""
