"""A real Kubernetes control plane without nodes: etcd and kube-apiserver, and on request what acts on objects.

`with ControlPlane(folder) as cluster:` takes seconds. All state is below the folder; nothing outlives the block.
"""

import json
import os
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
from credentials import Credentials
from processes import Processes

START_SECONDS = 120
"""Patience for a busy machine; an idle one needs about five."""
_HERE = Path(__file__).parent
_LOCALHOST = "127.0.0.1"
_JSON = "application/json"
_CONTENT_TYPES = {"PATCH": "application/merge-patch+json"}
_NO_THROTTLE = ("--kube-api-qps=500", "--kube-api-burst=1000")
"""By default a client asks 20 to 50 times a second: tests of a thousand jobs would measure that."""
_AUDIT_MEBIBYTES = 512
"""Size at which the audit log would start anew; a log of a session is far below it."""


class ControlPlaneError(Exception):
    """The control plane did not start; the message has the end of the log."""


class ControlPlane:
    """etcd and kube-apiserver, by default as child processes on free ports, with an administrator's kubeconfig.

    Args:
        folder: Where all state and logs are; must exist and be fresh.
        controllers: Run kube-controller-manager too: Jobs get pods, owners' children are collected, TTLs count.
        scheduler: Run kube-scheduler too: pods get a node, where there is one.
        audit: Write each answered request to `audit_log`.
        address: Address of this machine that the API server listens on and that pods know it by.
        outlive: Let the processes go on after this one; `stop` of another process ends them.
        arguments: More arguments for kube-apiserver.
    """

    def __init__(
        self,
        folder: Path,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        audit: bool = False,
        address: str = _LOCALHOST,
        outlive: bool = False,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.audit_log = folder / "audit.log"
        self.credentials = Credentials(folder)
        self.processes = Processes(folder, outlive=outlive)
        self._address = address
        self._port = free_port(address)
        self._controllers, self._scheduler = controllers, scheduler
        self._arguments = (*arguments, *(self._audit_arguments() if audit else ()))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://{self._address}:{self._port}"

    def start(self) -> None:
        """Start everything; return when the API server serves and, with controllers, pods can be created.

        Raises `ControlPlaneError` when it does not.
        """
        client = f"http://{_LOCALHOST}:{free_port()}"
        self._start_etcd(client)
        self.credentials.write()
        self._start_api_server(client)
        self._wait_until_ready()
        self.credentials.write_kubeconfig(self.kubeconfig, self.server)
        if self._controllers:
            self._start_controllers()
        if self._scheduler:
            self._start_component("kube-scheduler")
        if self._controllers:
            self.wait_for("/api/v1/namespaces/default/serviceaccounts/default")

    def stop(self) -> None:
        """End the processes, the newest first."""
        self.processes.stop()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator. It keeps its caches in the folder too."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}
        return subprocess.run(
            [find("kubectl"), *arguments],
            input=stdin, capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Send one request to the API server; return the HTTP status and the object that it answered with."""
        status, content = self._exchange(method, path, body)
        return status, json.loads(content)

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        token, content_type = self.credentials.admin_token, _CONTENT_TYPES.get(method, _JSON)
        request = urllib.request.Request(  # noqa: S310 -- always https, to this machine
            f"{self.server}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": content_type},
        )
        trust = ssl.create_default_context(cafile=self.credentials.authority)
        try:
            with urllib.request.urlopen(request, context=trust, timeout=30) as response:  # noqa: S310 -- always https, to this machine
                return response.status, response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()

    def wait_for(self, path: str) -> None:
        """Return when the API server answers for `path`: a new resource takes a moment to be served.

        Raises `ControlPlaneError` when it does not.
        """
        deadline = time.monotonic() + START_SECONDS
        while (answer := self._exchange("GET", path))[0] != HTTPStatus.OK:
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{path} is not served: {answer}")
            time.sleep(0.1)

    def _start_etcd(self, client: str) -> None:
        peer = f"http://{_LOCALHOST}:{free_port()}"
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip

    def _start_api_server(self, etcd: str) -> None:
        key = self.credentials.service_account_key
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={etcd}", f"--bind-address={self._address}", f"--advertise-address={self._address}",
            f"--secure-port={self._port}", f"--cert-dir={self.credentials.certificates}",
            "--authorization-mode=Node,RBAC", f"--token-auth-file={self.credentials.token_file}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged",
            "--endpoint-reconciler-type=" + ("none" if self._address == _LOCALHOST else "lease"),
            *self._arguments,
        )  # fmt: skip

    def _start_controllers(self) -> None:
        self._start_component(
            "kube-controller-manager",
            f"--service-account-private-key-file={self.credentials.service_account_key}",
            f"--root-ca-file={self.credentials.authority}",
            "--use-service-account-credentials",
        )

    def _start_component(self, name: str, *arguments: str) -> None:
        """Start a program that acts as the user of its own name, alone, and serves nothing to others."""
        kubeconfig = self.credentials.write_kubeconfig(self.folder / f"{name}.kubeconfig", self.server, name)
        self._spawn(
            name,
            f"--kubeconfig={kubeconfig}", "--leader-elect=false", f"--bind-address={_LOCALHOST}",
            f"--secure-port={free_port()}", f"--cert-dir={self.folder / name}",
            f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
            *_NO_THROTTLE, *arguments,
        )  # fmt: skip

    def _audit_arguments(self) -> tuple[str, ...]:
        policy = _HERE / "audit-policy.yaml"
        return (
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            f"--audit-log-maxsize={_AUDIT_MEBIBYTES}",
        )

    def _spawn(self, name: str, *arguments: str) -> None:
        self.processes.start(name, [find(name), *arguments])

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            ended = self.processes.ended() or (["kube-apiserver"] if time.monotonic() > deadline else [])
            for name in ended:
                raise ControlPlaneError(f"{name} did not become ready:\n{self.processes.log_tail(name)}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        """Whether the server serves, with its built-in roles, and has its namespace for jobs."""
        try:
            paths = ("/readyz", "/api/v1/namespaces/default")
            return all(self._exchange("GET", path)[0] == HTTPStatus.OK for path in paths)
        except (OSError, ssl.SSLError):  # not listening, or no certificate yet
            return False


def free_port(address: str = _LOCALHOST) -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
