"""Runs of the command in this process that are asked to stop on the way, by the signal that ends a pod."""

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from safetensors.torch import load_file

from finetune_api.report import Report
from finetune_trainer.cli.app import main


@dataclass
class Run:
    """How a run ended."""

    code: int
    events: list[dict[str, Any]] = field(repr=False)

    @property
    def report(self) -> Report:
        """The report in the event `result`."""
        return Report.model_validate(self._result["report"])

    @property
    def folder(self) -> Path:
        """The output folder."""
        return Path(self._result["output"].removeprefix("file://"))

    @property
    def figures(self) -> list[Any]:
        """What must be the same however often a run was stopped."""
        report = self.report
        return [report.curves, report.evaluation, report.details, report.verdict]

    @property
    def weights(self) -> dict[str, bytes]:
        """The weights that it exported, by name."""
        return weights_in(self.folder / "model")

    @property
    def _result(self) -> dict[str, Any]:
        return next(event for event in self.events if event["event"] == "result")


class _Listener(StringIO):
    """Standard output; it sends SIGTERM, which no shell has ignored, once it is told of `stop_at`."""

    def __init__(self, stop_at: int | None) -> None:
        super().__init__()
        self.events, self._stop_at = list[dict[str, Any]](), stop_at

    def write(self, text: str) -> int:
        """Take one line."""
        event = json.loads(text)
        self.events.append(event)
        if self._stop_at is not None and event["event"] == "progress" and event["step"] >= self._stop_at:
            self._stop_at = None
            os.kill(os.getpid(), signal.SIGTERM)
        return len(text)


def weights_in(folder: Path) -> dict[str, bytes]:
    """The weights in a folder with one file of them, by name."""
    (file,) = folder.glob("*.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}


def run_here(job: str | Path, uid: str, *more: str, stop_at: int | None = None) -> Run:
    """Run a job in this process, and ask it to stop when it has done the step `stop_at`."""
    heard, code = _Listener(stop_at), 0
    arguments = ["finetune-trainer", "run", str(job), "--uid", uid, "--json", *more]
    with patch.object(sys, "argv", arguments), patch.object(sys, "stdout", heard):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Run(code, heard.events)
