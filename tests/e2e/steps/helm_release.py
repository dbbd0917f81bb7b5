"""The chart as a user installs it: by helm."""

import json
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from kubectl_commands import CommandFailedError

CHART = Path(__file__).parents[3] / "charts" / "finetune-operator"


@dataclass(frozen=True)
class Release:
    """A release of the chart, installed or not."""

    program: str
    kubeconfig: Path
    values: Path
    name: str = "finetune"
    namespace: str = "finetune-system"
    chart: Path = CHART
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    """Since when the tests use it."""

    @property
    def deployment(self) -> str:
        """Name of the operator's Deployment, which is that of its service account too."""
        return f"{self.name}-finetune-operator"

    @property
    def user(self) -> str:
        """Who the operator is for the API server."""
        return f"system:serviceaccount:{self.namespace}:{self.deployment}"

    def install(self, *options: str) -> str:
        """Install and wait until the operator is ready; return the notes."""
        return self._helm(
            "install", self.name, str(self.chart), *self._with_values(), *options, "--wait", "--timeout=120s"
        )

    def upgrade(self, chart: Path | None = None, *settings: str) -> str:
        """Upgrade to its chart or another, with `settings` as for `--set`, and wait."""
        changes = [f"--set={setting}" for setting in settings]
        return self._helm(
            "upgrade", self.name, str(chart or self.chart), *self._with_values(), *changes, "--wait", "--timeout=120s"
        )

    def test(self) -> str:
        """Run the tests of the chart."""
        return self._helm("test", self.name, "--timeout=120s")

    def uninstall(self) -> str:
        """Uninstall and wait until the objects are gone."""
        return self._helm("uninstall", self.name, "--wait", "--timeout=120s")

    def is_installed(self) -> bool:
        """Whether helm knows the release."""
        return bool(json.loads(self._helm("list", "--filter", f"^{self.name}$", "--all", "-o", "json")))

    def objects(self) -> list[dict[str, Any]]:
        """What the chart renders with the values, hooks left out."""
        rendered = self._helm("template", self.name, str(CHART), *self._with_values(), "--no-hooks")
        return [document for document in yaml.safe_load_all(rendered) if document]

    def _with_values(self) -> tuple[str, str]:
        return "--values", str(self.values)

    def _helm(self, *arguments: str) -> str:
        command = [self.program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailedError(f"helm {' '.join(arguments)}: {done.stderr.strip()[-3000:]}")
        return done.stdout
