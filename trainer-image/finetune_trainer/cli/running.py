"""`finetune-trainer run`."""

import secrets
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.job import FineTuneJob
from finetune_trainer.cli.errors import print_failure
from finetune_trainer.cli.lines import Lines
from finetune_trainer.cli.local import local_notes
from finetune_trainer.cli.quiet import quiet_libraries
from finetune_trainer.cli.words import place
from finetune_trainer.manifest import load_job
from finetune_trainer.signals import checkpoint_signal, checkpoints_asked, stop_signals

if TYPE_CHECKING:
    from finetune_trainer.observer import RunObserver
    from finetune_trainer.storage import Site


@dataclass(frozen=True)
class Wanted:
    """What to run."""

    job: str
    """The manifest's file."""
    overrides: list[str]
    output: str = ""
    """Folder or URI that goes before the one in the manifest."""
    resume: bool = False
    """Go on with an unfinished run."""
    uid: str = ""
    """Which one."""

    def to_go_on(self, uid: str) -> str:
        """The command that goes on with the run `uid`."""
        words = ["finetune-trainer", "run", self.job]
        words += [word for override in self.overrides for word in ("--set", override)]
        words += ["--output", self.output] if self.output else []
        return shlex.join([*words, "--resume", "--uid", uid])


def run_command(wanted: Wanted, *, as_json: bool, debug: bool) -> int:
    """Run a job and show it; returns the exit code. Raises the failures of reading the job, and of finding a run."""
    output = [f"spec.output.uri={as_uri(wanted.output)}"] if wanted.output else []
    loaded = load_job(wanted.job, [*wanted.overrides, *output])
    observer = _observer(as_json=as_json)
    for note in local_notes(loaded.job):
        observer.warned(note)
    quiet_libraries()
    with stop_signals(), checkpoint_signal():
        from torch import cuda

        from finetune_trainer.run import run_job
        from finetune_trainer.storage import Site

        if loaded.job.spec.compute.gpus_per_node and not cuda.is_available():
            observer.warned("compute.gpusPerNode asks for a GPU, and PyTorch sees none here: this run uses the CPU.")
        site = Site(loaded.base)
        uid = _uid(wanted, loaded.job, site)
        go_on = f"go on with: {wanted.to_go_on(uid)}"
        result = run_job(loaded.job, site, uid, observer, requested=checkpoints_asked, go_on=go_on)
    if result.failure is not None:
        print_failure(result.failure, as_json=as_json, debug=debug)
        if result.artifacts.report and not as_json:
            Lines(sys.stderr).write(f"  report: {place(result.artifacts.report)}")
    return int(result.exit_code)


def _uid(wanted: Wanted, job: FineTuneJob, site: "Site") -> str:
    """UID to run under: a new one, unless the manifest has one or an unfinished run is to go on."""
    if job.metadata.uid:
        return job.metadata.uid
    if not wanted.resume:
        return wanted.uid or local_uid()
    from finetune_trainer.unfinished import find_unfinished

    return find_unfinished(job, site, wanted.uid)


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
