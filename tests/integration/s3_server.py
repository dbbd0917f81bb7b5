"""A real S3 server over a folder: Versity's gateway (Apache-2.0), built by Go once and kept outside the tree.

python tests/integration/s3_server.py     # get it now, print where it is
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

MODULE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
_START_SECONDS = 30


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
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = caches / "finetune" / "s3-server" / VERSION / "versitygw"
    if not program.is_file():
        _build(program)
    return program


def _build(program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise S3ServerMissingError(f"no {program}, and no Go to build it with")
    program.parent.mkdir(parents=True, exist_ok=True)
    part = program.parent / f"part-{token_hex(4)}"
    environment = {**os.environ, "GOBIN": str(part)}
    built = subprocess.run(
        ["nice", go, "install", f"{MODULE}@{VERSION}"], env=environment, capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise S3ServerMissingError(f"go install {MODULE}@{VERSION} failed: {built.stderr.strip()[-500:]}")
    (part / program.name).replace(program)
    part.rmdir()


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Run a server over `folder`, on a free port of this machine and with keys of its own."""
    root = folder / "buckets"
    root.mkdir()
    server = S3Server(root, f"http://127.0.0.1:{_free_port()}", token_hex(10), token_hex(20))
    keys = {"ROOT_ACCESS_KEY_ID": server.access_key, "ROOT_SECRET_ACCESS_KEY": server.secret_key}
    command = ["nice", str(find()), "--port", server.endpoint.removeprefix("http://"), "--quiet", "posix", str(root)]
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **keys}, stdout=log, stderr=log)
        try:
            _wait(server, process, folder / "s3.log")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=_START_SECONDS)


def _wait(server: S3Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, port = server.endpoint.removeprefix("http://").split(":")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise S3ServerMissingError(f"the S3 server did not start: {log.read_text(errors='replace')[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.stdout.write(f"{find()}\n")
