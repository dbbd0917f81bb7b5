"""Log formats with the job's name: plain text and JSON."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

_job: ContextVar[str] = ContextVar("job", default="")


@contextmanager
def job_context(namespace: str, name: str) -> Iterator[None]:
    """Add the job to each line logged inside the block."""
    token = _job.set(f"{namespace}/{name}")
    try:
        yield
    finally:
        _job.reset(token)


class PlainFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO  team-a/movie-sentiment  created Job movie-sentiment`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, followed by a traceback if any."""
        job = f"{_job.get()}  " if _job.get() else ""
        text = f"{_time(record)} {record.levelname:<7} {job}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and namespace and job where known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback is the field `exception`."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _job.get():
            line["namespace"], _, line["job"] = _job.get().partition("/")
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(form: Literal["plain", "json"]) -> None:
    """Log to standard error in that format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)  # tells each event of each object
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # each probe and each scrape


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
