"""Uncaught exceptions as failures: out of memory, full disk, or an internal error. Pure."""

import errno
import traceback

from finetune_api.failures import InternalError, JobFailure, OutOfMemory, OutputNotWritable
from finetune_trainer.memory.failure import is_out_of_memory

_PACKAGE = "finetune_trainer"
_LONGEST = 500
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MEMORY_HINT = (
    "lower spec.training.perDeviceBatchSize or spec.data.maxLength, set training.activationCheckpointing, use LoRA, "
    "or give the job more memory"
)
_DISK_HINT = "free some room; TMPDIR, FINETUNE_CACHE and HF_HOME say where temporary files and caches go"
_DEFECT_HINT = "this is a defect: run it again with --debug for the whole trace, and please report it"


def as_failure(error: BaseException) -> JobFailure:
    """The failure for `error`, with it as cause. A failure of the catalogue is returned unchanged."""
    if isinstance(error, JobFailure):
        return error
    failure = _understood(error)
    failure.__cause__ = error
    return failure


def _understood(error: BaseException) -> JobFailure:
    if is_out_of_memory(error):
        return OutOfMemory(f"memory ran out: {first_line(error)}", hint=_MEMORY_HINT)
    if isinstance(error, OSError) and error.errno in _FULL:
        return OutputNotWritable(f"no room left on a disk: {first_line(error)}", hint=_DISK_HINT)
    return InternalError(f"{type(error).__name__}: {first_line(error)}", where=_origin(error), hint=_DEFECT_HINT)


def first_line(error: BaseException) -> str:
    """First line of an error message, truncated."""
    return str(error).strip().partition("\n")[0][:_LONGEST] or "no message"


def _origin(error: BaseException) -> str:
    """Innermost frame of this package in the traceback, as `finetune_trainer/run.py:57`."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        _, found, path = frame.filename.replace("\\", "/").rpartition(f"/{_PACKAGE}/")
        if found:
            return f"{_PACKAGE}/{path}:{frame.lineno}"
    return ""
