"""`finetune-trainer run`."""

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from finetune_api.exit_codes import ExitCode
from finetune_api.outcome import Outcome
from finetune_trainer.cli.errors import print_failure
from finetune_trainer.manifest import load_job

if TYPE_CHECKING:
    from finetune_trainer.observer import RunObserver


def run_command(job: str, overrides: list[str], output: str, *, as_json: bool, debug: bool) -> int:
    """Run a job and show it; returns the exit code."""
    if output:
        overrides = [*overrides, f"spec.output.uri={output_uri(output)}"]
    loaded = load_job(job, overrides)
    observer = _observer(as_json=as_json)
    quiet_libraries()

    from finetune_trainer.run import run_job

    uid = loaded.job.metadata.uid or local_uid()
    with _stop_signals():
        result = run_job(loaded.job, loaded.base, uid, observer)
    if result.failure is not None:
        print_failure(result.failure, as_json=as_json, debug=debug)
        return int(result.failure.exit_code)
    return int(ExitCode.GATE_FAILED if result.report.outcome is Outcome.GATE_FAILED else ExitCode.DONE)


def output_uri(output: str) -> str:
    """A URI stays; a path becomes an absolute `file://` one, relative to the current folder."""
    return output if "://" in output else Path(output).absolute().as_uri()


def local_uid() -> str:
    """A uid for a run without an API server: the time, and four random digits against collisions."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def quiet_libraries() -> None:
    """Keep libraries from writing over our progress, and from asking the network about what is on disk."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


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


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Treat SIGTERM like the keyboard's interrupt: the run ends in order and says so."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
