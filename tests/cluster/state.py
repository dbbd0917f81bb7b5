"""What tests and people need to know about a running cluster: written when it is up, read by all who use it."""

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from binaries import find

Kind = Literal["node", "kind", "given"]
OPERATOR_IMAGE = "localhost/finetune-operator:dev"
TRAINER_IMAGE = "localhost/finetune-trainer:dev"


class BedError(Exception):
    """The cluster can't be had or used; the message says why and what to do."""


@dataclass(frozen=True)
class Bed:
    """A cluster to test on, with an object store and Prometheus."""

    kind: Kind
    """`node` is made of processes of this machine, `kind` of containers, `given` is somebody's cluster."""
    kubeconfig: str
    s3_endpoint: str
    """The object store's address for pods."""
    s3_local_endpoint: str
    """Its address for programs on this machine; the same where pods and programs share a network."""
    s3_access_key: str
    s3_secret_key: str
    prometheus_url: str
    """Address of Prometheus for programs on this machine; empty where there is none."""
    audit_log: str
    """The API server's audit log, a JSON object a line; empty where it can't be read."""
    operator_image: str
    trainer_image: str
    storage_class: str
    """Class of storage that binds a claim."""

    @property
    def credentials(self) -> dict[str, str]:
        """Keys and address of the object store by the names of their environment variables, for this machine."""
        return {**self.pod_credentials, "AWS_ENDPOINT_URL": self.s3_local_endpoint}

    @property
    def pod_credentials(self) -> dict[str, str]:
        """The same for a Secret that pods read."""
        return {
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
        }

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; the caller looks at the exit code."""
        return self._run(find("kubectl"), *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Helm as the administrator; the caller looks at the exit code."""
        return self._run(find("helm"), *arguments)

    def save(self, folder: Path) -> None:
        """Write it into the state folder, at once and readable for its owner only."""
        part = folder / "bed.part"
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(self), indent=2))
        part.replace(folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read it from the state folder; None where no cluster is up."""
        path = folder / _FILE
        return cls(**json.loads(path.read_text())) if path.is_file() else None

    def _run(self, program: Path, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments],
            input=stdin, capture_output=True, text=True, check=False, env={**os.environ, "KUBECONFIG": self.kubeconfig},
        )  # fmt: skip


def state_folder() -> Path:
    """Where a cluster's state is: outside the tree, one cluster a user."""
    states = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(states) / "finetune" / "bed"


def current() -> Bed | None:
    """The cluster to use: the one that the environment names, else the one that is up; None where there is neither."""
    return given() or Bed.load(state_folder())


def given() -> Bed | None:
    """The cluster that the environment names; None without FINETUNE_OPERATOR_IMAGE and FINETUNE_TRAINER_IMAGE.

    `KUBECONFIG` and the two images are needed. For an object store that both pods and this machine reach:
    `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`; for Prometheus `FINETUNE_PROMETHEUS_URL`.

    Raises `BedError` where one of those that are needed is missing.
    """
    images = [os.environ.get(name, "") for name in _IMAGES]
    if not any(images):
        return None
    if missing := [name for name in ("KUBECONFIG", *_IMAGES, *_STORE) if not os.environ.get(name)]:
        raise BedError(f"{', '.join(missing)} must be set too: {', '.join(_IMAGES)} ask for a cluster of your own")
    endpoint, access_key, secret_key = (os.environ[name] for name in _STORE)
    return Bed(
        "given", os.environ["KUBECONFIG"], endpoint, endpoint, access_key, secret_key,
        os.environ.get("FINETUNE_PROMETHEUS_URL", ""), os.environ.get("FINETUNE_AUDIT_LOG", ""), images[0], images[1],
        os.environ.get("FINETUNE_STORAGE_CLASS", "standard"),
    )  # fmt: skip


_FILE = "bed.json"
_IMAGES = ("FINETUNE_OPERATOR_IMAGE", "FINETUNE_TRAINER_IMAGE")
_STORE = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
