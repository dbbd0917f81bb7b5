"""Reads the API server's audit log: who asked for what, and when it was answered, to the microsecond."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from writes import is_write


@dataclass(frozen=True)
class Request:
    """An answered request."""

    user: str
    verb: str
    resource: str
    """With its subresource, for example `finetunejobs/status`."""
    name: str
    code: int
    received: float
    """Seconds since the epoch."""
    answered: float
    is_write: bool
    """Whether it may have changed something."""


def read(log: Path, start: int = 0) -> list[Request]:
    """Return the requests that the log holds from byte `start` on, in the order of their answers."""
    with log.open("rb") as lines:
        lines.seek(start)
        return list(_requests(lines))


def by_resource(requests: Iterable[Request]) -> Counter[tuple[str, str, int]]:
    """Count requests by verb, resource and HTTP status."""
    return Counter((request.verb, request.resource, request.code) for request in requests)


def _requests(lines: Iterable[bytes]) -> Iterator[Request]:
    for line in lines:
        entry = json.loads(line)
        what = entry.get("objectRef") or {}
        yield Request(
            user=entry["user"].get("username", ""),
            verb=entry["verb"],
            resource="/".join(filter(None, (what.get("resource", ""), what.get("subresource", "")))),
            name=what.get("name", ""),
            code=(entry.get("responseStatus") or {}).get("code", 0),
            received=_seconds(entry["requestReceivedTimestamp"]),
            answered=_seconds(entry["stageTimestamp"]),
            is_write=is_write(entry["verb"], entry["requestURI"]),
        )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
