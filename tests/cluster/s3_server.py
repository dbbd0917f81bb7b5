"""A real S3 server over a folder: Versity's gateway (Apache-2.0), built by Go once and kept outside the tree.

python tests/cluster/binaries.py versitygw     # get it now, print where it is
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from binaries import BinaryMissingError
from binaries import find as find_program
from control_plane import free_port
from processes import Processes

_START_SECONDS = 30
_NAME = "s3"


class S3ServerMissingError(Exception):
    """There is no program and no way to make it; the message says what was tried."""


@dataclass(frozen=True)
class S3Server:
    """A running server. Buckets are the folders in `root`, objects the files in them."""

    root: Path
    endpoint: str
    access_key: str
    secret_key: str

    @property
    def credentials(self) -> dict[str, str]:
        """Keys and endpoint by the names of their environment variables."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def bucket(self, name: str) -> Path:
        """Make a bucket and return its folder."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder


def find() -> Path:
    """Return the path of the program, building it first where needed (minutes, once).

    Raises `S3ServerMissingError` where Go is missing or can't build it.
    """
    try:
        return find_program("versitygw")
    except BinaryMissingError as missing:
        raise S3ServerMissingError(str(missing)) from missing


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Run a server over `folder`, on a free port of this machine and with keys of its own."""
    processes = Processes(folder)
    try:
        yield start(processes)
    finally:
        processes.stop()


def start(processes: Processes, address: str = "127.0.0.1") -> S3Server:
    """Start a server among `processes`, whose folder gets the buckets; return when it listens.

    Raises `S3ServerMissingError` with the end of its log when it does not.
    """
    root = processes.folder / "buckets"
    root.mkdir()
    server = S3Server(root, f"http://{address}:{free_port(address)}", token_hex(10), token_hex(20))
    keys = {"ROOT_ACCESS_KEY_ID": server.access_key, "ROOT_SECRET_ACCESS_KEY": server.secret_key}
    port = server.endpoint.removeprefix("http://")
    processes.start(_NAME, ["nice", find(), "--port", port, "--quiet", "posix", root], keys)
    _wait(server, processes)
    return server


def _wait(server: S3Server, processes: Processes) -> None:
    host, port = server.endpoint.removeprefix("http://").split(":")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and processes.alive(_NAME):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise S3ServerMissingError(f"the S3 server did not start: {processes.log_tail(_NAME)}")
