"""Reads the API server's audit log: who asked for what, and when it was answered, to the microsecond."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectreviews"})
"""Questions that the API takes as something to create; nothing is stored."""


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
    dry_run: bool = False
    """Whether it was only tried, as the operator does with its profiles at the start."""

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something."""
        return self.verb in WRITES and self.resource not in _REVIEWS and not self.dry_run


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
            dry_run="dryRun=" in entry.get("requestURI", ""),
        )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
