"""`finetune-trainer run`: runs a job locally and shows its progress."""

import re
import secrets
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.failures import SpecInvalid
from finetune_api.job import FineTuneJob
from finetune_api.manifest import MANIFEST_NAME
from finetune_trainer.cli.errors import print_failure
from finetune_trainer.cli.lines import Lines
from finetune_trainer.cli.local import local_run_notes
from finetune_trainer.cli.messages import place
from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.manifest import load_job
from finetune_trainer.signals import checkpoint_signal, stop_signals

if TYPE_CHECKING:
    from finetune_trainer.observer import RunObserver
    from finetune_trainer.storage import Site


_UID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Wanted:
    """Options of the run command."""

    job: str
    """The manifest's file."""
    overrides: list[str]
    output: str = ""
    """Folder or URI that goes before the one in the manifest."""
    resume: bool = False
    """Resume an unfinished run."""
    uid: str = ""
    """Which one."""
    resume_from: str = ""
    """Folder or URI of another run, whose training this one continues."""

    @property
    def settings(self) -> list[str]:
        """All overrides, including those with an option of their own."""
        places = {"output.uri": self.output, "checkpoints.resumeFrom.uri": self.resume_from}
        return [*self.overrides, *(f"spec.{field}={as_uri(place)}" for field, place in places.items() if place)]

    def resume_command(self, uid: str) -> str:
        """The command that resumes the run `uid`."""
        is_like_an_option = self.job.startswith("-") and self.job != "-"
        words = ["finetune-trainer", "run", f"./{self.job}" if is_like_an_option else self.job]
        words += [word for override in self.overrides for word in ("--set", override)]
        words += ["--output", self.output] if self.output else []
        words += ["--resume-from", self.resume_from] if self.resume_from else []
        return shlex.join([*words, "--resume", "--uid", uid])


def run_command(wanted: Wanted, *, as_json: bool, debug: bool) -> int:
    """Run a job and show it; returns the exit code. Raises failures of reading the job and of finding a run."""
    loaded = load_job(wanted.job, wanted.settings)
    observer = _observer(as_json=as_json)
    for note in local_run_notes(loaded.job):
        observer.warned(note)
    silence_libraries()
    with stop_signals() as stop, checkpoint_signal() as requested:
        from torch import cuda

        from finetune_trainer.run import ResumeMode, run_job
        from finetune_trainer.storage import Site

        if loaded.job.spec.compute.gpus_per_node and not cuda.is_available():
            observer.warned("compute.gpusPerNode asks for a GPU, and PyTorch sees none here: this run uses the CPU.")
        site = Site(loaded.base)
        uid = _uid(wanted, loaded.job, site)
        resume_hint = f"resume with: {wanted.resume_command(uid)}"
        prior = ResumeMode.RESUMED if wanted.resume and not _is_finished(loaded.job, site, uid) else ResumeMode.KEPT
        result = run_job(
            loaded.job, site, uid, observer, requested=requested, resume_hint=resume_hint, prior=prior, stop=stop
        )
    if result.failure is not None:
        print_failure(result.failure, as_json=as_json, debug=debug)
        if result.artifacts.report and not as_json:
            Lines(sys.stderr).write(f"  report: {place(result.artifacts.report)}")
    return int(result.exit_code)


def _uid(wanted: Wanted, job: FineTuneJob, site: "Site") -> str:
    """UID of the run: new, unless the manifest has one or an unfinished run is resumed."""
    if job.metadata.uid:
        check_uid(job.metadata.uid, "metadata.uid")
        if wanted.uid and wanted.uid != job.metadata.uid:
            message = f"{wanted.uid!r} is not the uid of the manifest, {job.metadata.uid!r}"
            raise SpecInvalid(message, where="--uid", hint="remove one of them")
        return job.metadata.uid
    if not wanted.resume:
        return wanted.uid or local_uid()
    from finetune_trainer.resumable_run import find_unfinished

    return find_unfinished(job, site, wanted.uid)


def check_uid(uid: str, where: str) -> None:
    """Raise `SpecInvalid` for a uid that is no valid folder name."""
    if not _UID.fullmatch(uid):
        hint = "use letters, digits, - and _, and . but at the beginning; 64 characters at most"
        raise SpecInvalid(f"{uid!r} can't be the name of a run", where=where, hint=hint)


def _is_finished(job: FineTuneJob, site: "Site", uid: str) -> bool:
    """Whether a run is finished: its result is published, and nothing is resumed."""
    from finetune_trainer.output.publish import OutputFolder

    return OutputFolder(job.spec.output, site, job.metadata.name, uid).folder.exists(MANIFEST_NAME)


def as_uri(path: str) -> str:
    """A URI as it is; a path as an absolute `file://` URI, relative to the current folder."""
    return path if "://" in path else Path(path).absolute().as_uri()


def local_uid() -> str:
    """A uid of a local run: the time, and four random digits against collisions."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _observer(*, as_json: bool) -> "RunObserver":
    if as_json:
        from finetune_trainer.cli.json_progress import JsonObserver

        return JsonObserver()
    if not sys.stderr.isatty():
        from finetune_trainer.cli.plain_progress import PlainObserver

        return PlainObserver()
    from rich.console import Console

    from finetune_trainer.cli.terminal_progress import TerminalObserver

    return TerminalObserver(Console(stderr=True))
