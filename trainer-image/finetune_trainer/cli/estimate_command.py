"""`finetune-trainer estimate`: memory of a job by phase and part, whether it fits, and its time."""

import json
import sys
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING

from finetune_api.failures import JobFailure, SpecInvalid, StorageUnavailable
from finetune_api.quantity import amount
from finetune_trainer.cli.errors import failure_fields
from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.manifest import LoadedJob, load_job

if TYPE_CHECKING:
    from finetune_trainer.estimation.job_size import JobSize, Memory


@dataclass(frozen=True)
class Wanted:
    """Arguments of the command."""

    job: str
    overrides: list[str]
    memory: str = ""
    """Memory of the device, as a quantity of Kubernetes; empty for that of this machine."""
    rate: str = ""
    """Tokens per second, or the folder of a run; empty where none was measured."""


def estimate_command(wanted: Wanted, *, as_json: bool) -> int:
    """Print the estimate of a job; returns the exit code, which is that of `ModelDoesNotFit` where it can't fit.

    Raises the failures of manifest, model and data, unless they are told as JSON.
    """
    try:
        size = _size(load_job(wanted.job, wanted.overrides, to_run=True), wanted)
        failure = _refusal(size)
    except JobFailure as found:
        if not as_json:
            raise
        _print(json.dumps({"failure": failure_fields(found)}))
        return int(found.exit_code)
    if as_json:
        _print(json.dumps({**size.as_json(), "failure": failure and failure_fields(failure)}))
    else:
        from finetune_trainer.cli.size_table import size_lines

        _print("\n".join(size_lines(size)))
    return 0 if failure is None else int(failure.exit_code)


def _size(loaded: LoadedJob, wanted: Wanted) -> "JobSize":
    given = _memory(wanted.memory) if wanted.memory else None
    silence_libraries()
    from finetune_trainer.cli.plain_progress import PlainObserver
    from finetune_trainer.cli.reachable_model import open_within
    from finetune_trainer.estimation.job_size import memory_here
    from finetune_trainer.estimation.work import measured_rate
    from finetune_trainer.run_record import RunRecord
    from finetune_trainer.storage import Site
    from finetune_trainer.validation import JobCheck

    memory = given or memory_here(loaded.job.spec)
    rate = measured_rate(wanted.rate) if wanted.rate else None
    observer = PlainObserver(sys.stderr if sys.stderr.isatty() else StringIO())
    check = JobCheck(RunRecord(loaded.job, "estimate"), Site(loaded.base), observer, memory)
    checked = check.run(open_within)
    if checked.size is None:
        hint = "check the network, or get the model first and name its folder by file://"
        raise StorageUnavailable(f"the model was not looked at: {checked.unseen}", where="spec.model.uri", hint=hint)
    if rate is None or checked.size.work is None:
        return checked.size
    return replace(checked.size, work=replace(checked.size.work, rate=rate))


def _refusal(size: "JobSize") -> JobFailure | None:
    try:
        size.check()
    except JobFailure as failure:
        return failure
    return None


def _memory(given: str) -> "Memory":
    from finetune_trainer.estimation.job_size import Memory

    try:
        size = int(amount(given))
    except ValueError as error:
        raise SpecInvalid(str(error), where="--memory", hint="for example 24Gi") from error
    return Memory(size, "by --memory")


def _print(text: str) -> None:
    print(text)  # noqa: T201 -- this is the output
