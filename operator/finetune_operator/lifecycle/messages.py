"""Texts of status and events: sanitised, short, and built from catalogue failures."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from finetune_api.failures import FailureClass, JobFailure
from finetune_api.outcome import FailureInfo, cut

MESSAGE = 600
"""Longest text of a message, in characters. The API would take 1,024; a status has many messages."""
_HINT = 400
_LISTED = 3


def tidy(text: str, limit: int = MESSAGE) -> str:
    """Untrusted text as one line without control characters, truncated to `limit` characters."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() or c.isspace() else " " for c in text)).strip()
    return cut(line, limit)


def failure_info(failure: type[JobFailure], message: str, hint: str = "") -> FailureInfo:
    """`FailureInfo` of a catalogue failure."""
    return FailureInfo(
        failure_class=str(failure.failure_class), code=failure.code, message=tidy(message), hint=tidy(hint, _HINT)
    )


def failure_info_from(failure: JobFailure) -> FailureInfo:
    """`FailureInfo` of a raised failure: all of its problems, and the first hint."""
    message = "; ".join(problem.located for problem in failure.problems)
    hint = next((problem.hint for problem in failure.problems if problem.hint), "")
    return failure_info(type(failure), message, hint)


def trusted(info: FailureInfo) -> FailureInfo:
    """`FailureInfo` of a trainer, with unknown classes as internal errors."""
    known = info.failure_class if info.failure_class in set(FailureClass) else str(FailureClass.INTERNAL)
    code = re.sub(r"[^A-Za-z0-9]", "", info.code) or "InternalError"
    return FailureInfo(failure_class=known, code=code, message=tidy(info.message), hint=tidy(info.hint, _HINT))


def sentence(info: FailureInfo) -> str:
    """Code, message and hint in one text."""
    return tidy(". ".join(part.rstrip(".") for part in (info.message, info.hint) if part), 1000)


def listed(texts: Sequence[str], between: str = ", ") -> str:
    """The first few of some texts, and the number of further ones."""
    more = [f"{len(texts) - _LISTED} more"] if len(texts) > _LISTED else []
    return between.join([*texts[:_LISTED], *more])


def clock_text(moment: datetime) -> str:
    """A time as `12:03:10 UTC`."""
    return moment.astimezone(UTC).strftime("%H:%M:%S UTC")


def seconds_text(seconds: float) -> str:
    """Seconds as `45s`, `3m20s` or `2h05m`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{left:02}s" if minutes else f"{left}s"
