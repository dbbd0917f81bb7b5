"""A Docker engine of our own: what its runtime asks for, and what it leaves on the host."""

from pathlib import Path
from typing import Any

import docker_engine
import host_settings
import pytest
from narrow_runtime import has_sys_resource, narrow, specification_file

BEFORE = """\
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:KUBE-FORWARD -
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
NOW = """\
*filter
:INPUT ACCEPT
:FORWARD DROP
:DOCKER -
:DOCKER-USER -
:KUBE-FORWARD -
:KUBE-NEW -
-A FORWARD -j DOCKER-USER
-A FORWARD -o br-0123456789ab -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -j KUBE-FORWARD
-A FORWARD -i docker-of-others -j ACCEPT
-A DOCKER -d 172.18.0.2/32 ! -i br-0123456789ab -o br-0123456789ab -p tcp -m tcp --dport 6443 -j ACCEPT
-A DOCKER-USER -j RETURN
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-NEW -j RETURN
COMMIT
"""
NAT = """\
*nat
:POSTROUTING ACCEPT
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 6443 -j MASQUERADE
-A POSTROUTING -s 10.0.0.1/32 -d 10.0.0.2/32 -j MASQUERADE
"""


DELETED = """\
FORWARD -j DOCKER-USER
FORWARD -o br-0123456789ab -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
FORWARD -o docker0 -j DOCKER
FORWARD -i docker0 ! -o docker0 -j ACCEPT
DOCKER -d 172.18.0.2/32 ! -i br-0123456789ab -o br-0123456789ab -p tcp -m tcp --dport 6443 -j ACCEPT
DOCKER-USER -j RETURN
"""


def test_docker_is_taken_out_of_the_packet_filter_and_others_stay() -> None:
    assert host_settings.removals(BEFORE, NOW) == [
        *(["--delete", *rule.split()] for rule in DELETED.splitlines()),
        ["--flush", "DOCKER"],
        ["--flush", "DOCKER-USER"],
        ["--delete-chain", "DOCKER"],
        ["--delete-chain", "DOCKER-USER"],
        ["--policy", "FORWARD", "ACCEPT"],
    ]


def test_addresses_that_docker_translated_are_taken_out() -> None:
    translated = [line for line in NAT.splitlines() if "17.0.0/16" in line or "18.0.2" in line]
    found = host_settings.removals("*nat\n:POSTROUTING ACCEPT\n", NAT)
    assert found == [["--delete", *line.split()[1:]] for line in translated]
    assert len(found) == 2


def test_rules_of_a_docker_that_was_there_before_stay() -> None:
    assert host_settings.removals(NOW, NOW) == []


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["--root", "/r", "create", "--bundle", "/b", "--pid-file", "/p", "id"], "/b/config.json"),
        (["run", "-b", "/b", "id"], "/b/config.json"),
        (["--log", "/l", "exec", "--process", "/x/process1", "--detach", "id"], "/x/process1"),
        (["kill", "id", "9"], None),
        (["--version"], None),
    ],
)
def test_the_file_that_says_what_a_process_may(arguments: list[str], file: str | None) -> None:
    assert specification_file(arguments) == (Path(file) if file else None)


def process() -> dict[str, Any]:
    capabilities = {of: ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"] for of in ("bounding", "effective")}
    rlimits = [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1024}, {"type": "RLIMIT_CORE", "hard": 9, "soft": 9}]
    return {"args": ["sh"], "capabilities": capabilities, "rlimits": rlimits}


@pytest.mark.parametrize("nested", [False, True])
def test_a_process_is_asked_for_no_more_than_there_is(nested: bool) -> None:
    whole = {"ociVersion": "1.0", "process": process()} if nested else process()
    narrowed = narrow(whole, sys_resource=False, open_files=20000)
    found = narrowed["process"] if nested else narrowed
    assert found["capabilities"] == {of: ["CAP_CHOWN", "CAP_SYS_ADMIN"] for of in ("bounding", "effective")}
    assert found["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "hard": 20000, "soft": 1024},
        {"type": "RLIMIT_CORE", "hard": 9, "soft": 9},
    ]
    assert found["args"] == ["sh"]


def test_a_root_with_all_rights_is_asked_for_all() -> None:
    assert narrow(process(), sys_resource=True, open_files=2**20) == process()


@pytest.mark.parametrize(("bounds", "has"), [("000001ffffffffff", True), ("000001fffeffffff", False)])
def test_rights_are_read_as_the_kernel_tells_them(bounds: str, has: bool) -> None:
    assert has_sys_resource(f"Name:\tsh\nCapEff:\t0000000000000000\nCapBnd:\t{bounds}\n") is has


def test_the_socket_is_never_the_one_of_the_machine(tmp_path: Path) -> None:
    engine = docker_engine.DockerEngine(tmp_path)
    assert engine.environment["DOCKER_HOST"] == f"unix://{tmp_path}/docker.sock"
    assert f"--host={engine.environment['DOCKER_HOST']}" in engine._arguments()
    assert not engine.runs()
