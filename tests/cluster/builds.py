"""Builds a program of the cluster by `go build`, in the version of its go.mod, and puts it in its place at once."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import minder
from caches import scratch

_TAIL = 1000
"""Characters of the compiler's complaints that an error quotes."""


class BuildError(Exception):
    """Go is missing or could not build; the message says which."""


def build(package: str, module: Path, program: Path) -> None:
    """Build `package` of the go.mod in `module` as the file `program`, at the lowest priority.

    The caller has the turn for the program's folder. A build that is ended leaves no part of the program.

    Raises `BuildError` when there is no Go, and with its last words when it fails.
    """
    go = shutil.which("go")
    if go is None:
        raise BuildError("Go is not installed, so it can't be built; install Go or set KUBEBUILDER_ASSETS")
    with scratch(program.parent) as folder:
        part = folder / program.name
        flags = linker_flags(package, (module / "go.mod").read_text())
        nice = ["nice", "-n", "19"] if shutil.which("nice") else []
        command = [*nice, go, "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", str(part), package]
        _run(command, module, {**os.environ, "CGO_ENABLED": "0", "GOTMPDIR": str(folder)})
        part.rename(program)


def linker_flags(package: str, go_mod: str) -> str:
    """No debug information, and the versions that the release builds of Kubernetes and of Helm stamp in.

    Raises `BuildError` where go.mod does not require what the version comes from.
    """
    if package.startswith("helm.sh/"):  # the Kubernetes that Helm renders for; else it is 1.20
        minor = _version(r"k8s\.io/client-go v0\.(\d+)\.", go_mod)[0]
        stamps = {
            f"helm.sh/helm/v3/pkg/{part}.k8sVersion{name}": value
            for part in ("chartutil", "lint/rules")
            for name, value in (("Major", "1"), ("Minor", minor))
        }
    elif package.startswith("k8s.io/"):
        found = _version(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", go_mod)
        names = (f"k8s.io/component-base/version.{name}" for name in ("gitVersion", "gitMajor", "gitMinor"))
        stamps = dict(zip(names, found, strict=True))
    else:
        stamps = {}
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in stamps.items())])


def _version(pattern: str, go_mod: str) -> Sequence[str]:
    found = re.search(pattern, go_mod)
    if found is None:
        raise BuildError(f"go.mod requires nothing that matches {pattern}")
    return found.groups()


_ONCE_TOLD = 'read -r _ && exec "$@" </dev/null'


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run the compiler in a session of its own, so that an end of this process is one of all that it started.

    It begins once it is entrusted: where this process ends before, its input ends, and it never does.
    """
    minder.get_ready()
    with subprocess.Popen(
        ["/bin/sh", "-c", _ONCE_TOLD, "sh", *command], cwd=folder, env=environment, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as go:  # fmt: skip
        try:
            minder.entrust(go.pid)
            complaints, _ = go.communicate("\n")
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(go.pid, signal.SIGKILL)
            raise
        minder.take_back(go.pid)
    if go.returncode != 0:
        raise BuildError(f"go build failed: {complaints.strip()[-_TAIL:]}")
