"""A real Kubernetes control plane without nodes: etcd and kube-apiserver on free ports of this machine.

`with ControlPlane(folder) as cluster:` takes seconds. All state is below the folder; nothing outlives the block.
"""

import base64
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from binaries import find

START_SECONDS = 120
"""Patience for a busy machine; an idle one needs about five."""
_STOP_SECONDS = 20
_HOST = "127.0.0.1"


class ControlPlaneError(Exception):
    """The control plane did not start; the message has the end of the log."""


class ControlPlane:
    """etcd and kube-apiserver as child processes, with an administrator's kubeconfig.

    Certificates, keys and the token are made for each start and are worth nothing elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._port = _free_port()
        self._token = secrets.token_urlsafe(32)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes, the newest first."""
        for process in reversed(self._processes.values()):
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator. It keeps its caches in the folder too."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}
        return subprocess.run(
            [find("kubectl"), *arguments],
            input=stdin, capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Send one request to the API server; return the HTTP status and the object that it answered with."""
        request = urllib.request.Request(
            f"https://{_HOST}:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": _CONTENT_TYPES.get(method, _JSON)},
        )
        trust = ssl.create_default_context(cafile=self.folder / "certificates" / "apiserver.crt")
        try:
            with urllib.request.urlopen(request, context=trust, timeout=30) as response:  # noqa: S310 -- always https, to this machine
                return response.status, json.load(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def wait_for(self, path: str) -> None:
        """Return when the API server answers for `path`: a new resource takes a moment to be served.

        Raises `ControlPlaneError` when it does not.
        """
        deadline = time.monotonic() + START_SECONDS
        while (answer := self.request("GET", path))[0] != HTTPStatus.OK:
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{path} is not served: {answer}")
            time.sleep(0.1)

    def _start(self) -> None:
        client, peer = (f"http://{_HOST}:{_free_port()}" for _ in range(2))
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip
        key, tokens = self.folder / "service-accounts.pem", self.folder / "tokens.csv"
        _write_secret(key, _private_key())
        _write_secret(tokens, f"{self._token},admin,admin,system:masters\n")
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={client}", f"--bind-address={_HOST}", f"--advertise-address={_HOST}",
            f"--secure-port={self._port}", f"--cert-dir={self.folder / 'certificates'}",
            "--authorization-mode=Node,RBAC", f"--token-auth-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--allow-privileged",
        )  # fmt: skip
        self._wait_until_ready()
        _write_secret(self.kubeconfig, json.dumps(self._administrator()))

    def _spawn(self, name: str, *arguments: str) -> None:
        program = find(name)
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen([program, *arguments], stdout=log, stderr=log)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            for name, process in self._processes.items():
                if process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / f"{name}.log").read_text(errors="replace")
                    raise ControlPlaneError(f"{name} did not become ready (exit {process.poll()}):\n{log[-3000:]}")
            time.sleep(0.2)

    def _ready(self) -> bool:
        """Whether the server serves, and has its namespace for jobs."""
        try:
            return self.request("GET", "/api/v1/namespaces/default")[0] == HTTPStatus.OK
        except (OSError, ssl.SSLError):  # not listening, or no certificate yet
            return False

    def _administrator(self) -> dict[str, Any]:
        cluster = {
            "server": f"https://{_HOST}:{self._port}",
            "certificate-authority": str(self.folder / "certificates" / "apiserver.crt"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}],
        }


_JSON = "application/json"
_CONTENT_TYPES = {"PATCH": "application/merge-patch+json"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _private_key() -> str:
    """A new P-256 key as RFC 5915 writes it: version 1, 32 random bytes, the name of the curve. Signs tokens."""
    der = bytes.fromhex("30310201010420") + secrets.token_bytes(32) + bytes.fromhex("a00a06082a8648ce3d030107")
    return f"-----BEGIN EC PRIVATE KEY-----\n{base64.encodebytes(der).decode()}-----END EC PRIVATE KEY-----\n"
