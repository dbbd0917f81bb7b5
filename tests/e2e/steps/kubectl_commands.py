"""kubectl as the tests use it: a user's commands, and their answers as text or objects."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")


class CommandFailedError(AssertionError):
    """A command ended with an error; the message holds the command and what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster."""

    program: str
    kubeconfig: Path

    def tried(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it and return whatever came of it."""
        cache = self.kubeconfig.parent / "kubectl-cache"
        command = [self.program, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={cache}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it and return what it printed. Raises `CommandFailedError` where it fails."""
        done = self.tried(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise CommandFailedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def apply(self, *objects: Json) -> str:
        """Apply objects, all in one command."""
        return self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, kind: str, name: str, namespace: str = "") -> Json | None:
        """Return one object, or None where there is none."""
        scope = ("-n", namespace) if namespace else ()
        printed = self("get", kind, name, *scope, "--ignore-not-found", "-o", "json")
        return dict(json.loads(printed)) if printed else None

    def list(self, kind: str, namespace: str = "", selector: str = "") -> list[Json]:
        """Return the objects of a kind in a namespace, or in all of them."""
        scope = ("-n", namespace) if namespace else ("--all-namespaces",)
        chosen = ("-l", selector) if selector else ()
        return list(json.loads(self("get", kind, *scope, *chosen, "-o", "json"))["items"])


def wait_until(
    what: str, look: Callable[[], T | None], seconds: float, every: float = 0.5, tell: Callable[[], object] = str
) -> T:
    """Look until something true comes back, and return it.

    Raises `AssertionError` that says what did not come within `seconds`, and what `tell` knows then.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{tell()}"
        time.sleep(every)


def restricted_namespace(name: str) -> Json:
    """A namespace whose pods must keep to the `restricted` profile."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
