"""Exit codes of the trainer, on which pod failure policies are based."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a trainer process ends with. Numbers below 80 follow BSD's sysexits where one fits."""

    DONE = 0
    """Finished; the final manifest is committed and was read back."""
    HUNG = 14
    """Nothing made progress for four times `runPolicy.stallSeconds`. Retried within `backoffLimit`."""
    BAD_SPEC = 64
    """The job's own fields can't work. Never retried."""
    BAD_DATA = 65
    """The rows can't work. Never retried."""
    NOT_FOUND = 66
    """Model, data or bucket is not where the job says. Never retried."""
    UNAVAILABLE = 69
    """Not a trainer's: stands for what the cluster or a limit ended."""
    INTERNAL = 70
    """A defect or an unknown failure. Retried within `backoffLimit`."""
    OUT_OF_MEMORY = 71
    """The device's memory did not suffice. Not retried; the hint says what to lower."""
    DIVERGED = 72
    """The loss is no longer a number. Not retried: the same seed would do it again."""
    CANNOT_WRITE = 73
    """The output exists already or has no room. Never retried."""
    TRANSIENT = 75
    """Storage or network trouble that may pass. Retried within `backoffLimit`."""
    PERMISSION = 77
    """Credentials are missing or not allowed. Never retried."""
    FENCED = 78
    """A newer attempt owns the output. Ends quietly."""
    STOPPED = 85
    """Stopped on request with a checkpoint committed. Restarted without being counted."""
    GATE_FAILED = 86
    """Finished and committed, but a gate was missed. Never retried."""
    DRIFTED = 87
    """Of `drift --fail-above`: the rows differ more than asked for. No job ends so."""
    INTERRUPTED = 130
    """Stopped from the keyboard."""
