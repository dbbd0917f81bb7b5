"""What was measured, a JSON line a run: a suite that was broken off goes on where it was."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality.runs import Run


@dataclass(frozen=True)
class Ledger:
    """The file with all figures."""

    file: Path

    def find(self, run: Run) -> dict[str, Any] | None:
        """Figures of a run that was made before, the latest ones; None where it was not."""
        found = None
        for line in self.file.read_text("utf-8").splitlines() if self.file.exists() else ():
            entry = json.loads(line)
            if entry["run"] == json.loads(json.dumps(run.known_by)):
                found = entry["figures"]
        return found

    def add(self, run: Run, figures: dict[str, Any]) -> None:
        """Write the figures of a run down."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": run.known_by, "figures": figures}) + "\n")
