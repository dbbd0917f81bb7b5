"""`finetune-trainer run`."""

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_trainer.cli.errors import print_failure
from finetune_trainer.cli.lines import Lines
from finetune_trainer.cli.local import local_notes
from finetune_trainer.cli.quiet import quiet_libraries
from finetune_trainer.cli.words import place
from finetune_trainer.manifest import load_job
from finetune_trainer.signals import stop_signals

if TYPE_CHECKING:
    from finetune_trainer.observer import RunObserver


def run_command(job: str, overrides: list[str], output: str, *, as_json: bool, debug: bool) -> int:
    """Run a job and show it; returns the exit code. Raises the failures of reading the job."""
    if output:
        overrides = [*overrides, f"spec.output.uri={as_uri(output)}"]
    loaded = load_job(job, overrides)
    observer = _observer(as_json=as_json)
    for note in local_notes(loaded.job):
        observer.warned(note)
    quiet_libraries()
    with stop_signals():
        from finetune_trainer.run import run_job
        from finetune_trainer.storage import Site

        result = run_job(loaded.job, Site(loaded.base), loaded.job.metadata.uid or local_uid(), observer)
    if result.failure is not None:
        print_failure(result.failure, as_json=as_json, debug=debug)
        if result.artifacts.report and not as_json:
            Lines(sys.stderr).write(f"  report: {place(result.artifacts.report)}")
    return int(result.exit_code)


def as_uri(path: str) -> str:
    """A URI stays; a path becomes an absolute `file://` one, relative to the current folder."""
    return path if "://" in path else Path(path).absolute().as_uri()


def local_uid() -> str:
    """A uid for a run without an API server: the time, and four random digits against collisions."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _observer(*, as_json: bool) -> "RunObserver":
    if as_json:
        from finetune_trainer.cli.machine import JsonObserver

        return JsonObserver()
    if not sys.stderr.isatty():
        from finetune_trainer.cli.plain import PlainObserver

        return PlainObserver()
    from rich.console import Console

    from finetune_trainer.cli.terminal import TerminalObserver

    return TerminalObserver(Console(stderr=True))
