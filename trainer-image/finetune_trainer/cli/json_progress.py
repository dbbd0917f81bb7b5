"""Progress as JSON lines, one object per event.

The event `result` holds the whole report; where the job failed, `failure` with all its problems comes after it.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from finetune_api.data_report import DataReport
from finetune_api.outcome import EvaluationResult, Progress
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_trainer.cli.lines import Lines
from finetune_trainer.observer import Advance, CheckpointStatus, TrainingTotals, Upload


class JsonObserver:
    """Writes `{"event": ..., ...}` lines to standard output."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._lines = Lines(stream or sys.stdout)
        self._upload: Upload | None = None

    def phase(self, name: str) -> None:
        """`{"event": "phase", "name": ...}`."""
        self._write("phase", name=name)

    def said(self, text: str) -> None:
        """`{"event": "message", "text": ...}`."""
        self._write("message", text=text)

    def warned(self, text: str) -> None:
        """`{"event": "warning", "text": ...}`."""
        self._write("warning", text=text)

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:
        """`{"event": "working", "what": ..., "total": ...}` at the beginning."""
        self._write("working", what=what, total=total)
        yield lambda _rows: None

    def data_ready(self, report: DataReport) -> None:
        """`{"event": "data", "report": {...}}`."""
        self._write("data", report=report.model_dump(mode="json", by_alias=True))

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:
        """`{"event": "model", "parameters": {...}, "resolved": {...}, "hardware": {...}}`."""
        dumped = resolved.model_dump(mode="json", by_alias=True)
        self._write("model", parameters=parameters.model_dump(by_alias=True), resolved=dumped, hardware=hardware)

    def claimed(self, attempt: int) -> None:
        """`{"event": "claim", "attempt": ...}`."""
        self._write("claim", attempt=attempt)

    def resumed(self, step: int, attempt: int) -> None:
        """`{"event": "resume", "step": ..., "attempt": ...}`."""
        self._write("resume", step=step, attempt=attempt)

    def checkpointed(self, safe: CheckpointStatus) -> None:
        """`{"event": "checkpoint", "step": ..., "bytes": ..., "seconds": ..., "uri": ...}`."""
        if safe.upload is not None and safe.upload != self._upload:
            upload = self._upload = safe.upload
            uri = next((info.uri for info in safe.checkpoints if info.step == upload.step), "")
            self._write("checkpoint", step=upload.step, bytes=upload.size, seconds=upload.seconds, uri=uri)

    def trained(self, progress: Progress, _tally: TrainingTotals) -> None:
        """`{"event": "progress", ...}` with the fields of `status.progress`."""
        self._write("progress", **progress.model_dump(mode="json", by_alias=True))

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """`{"event": "evaluation", "step": ..., "metrics": {...}, "best": ...}`."""
        self._write("evaluation", step=step, metrics=metrics, best=is_best)

    def measured(self, evaluation: EvaluationResult, split: str) -> None:
        """Nothing: `result` holds it all."""

    def finished(self, report: Report, uri: str) -> None:
        """`{"event": "result", "output": ..., "report": {...}}`."""
        self._write("result", output=uri, report=report.model_dump(mode="json", by_alias=True))

    def _write(self, event: str, **fields: Any) -> None:
        self._lines.write(json.dumps({"event": event, **fields}, allow_nan=False))
