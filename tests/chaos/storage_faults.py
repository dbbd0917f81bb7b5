"""What can go wrong between a client and an object store, as values."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of faults."""

    REFUSED = "refused"
    """The connection is cut, and new ones are refused (for `seconds`, or until the proxy is armed again)."""
    SLOW_DOWN = "slow-down"
    """503 SlowDown; the store never sees the request."""
    ERROR = "error"
    """500; the store never sees the request."""
    LATENCY = "latency"
    """The request reaches the store after `seconds`."""
    CUT_UPLOAD = "cut-upload"
    """The connection is reset when half of the request's body has gone through."""
    CUT_DOWNLOAD = "cut-download"
    """The connection is reset in the middle of the answer's body."""
    TRUNCATED = "truncated"
    """The answer ends in the middle of its body, in order."""
    LOST_ANSWER = "lost-answer"
    """The store carries out the request; the client sees a reset."""
    BLACK_HOLE = "black-hole"
    """The request is read, and nothing happens for `seconds` (or an hour)."""


class Moment(StrEnum):
    """When in a write something happens."""

    BEFORE = "before"
    """The store has seen nothing of it."""
    DURING = "during"
    """The store has half of the body."""
    AFTER = "after"
    """The store has carried it out, the client does not know."""


@dataclass
class Request:
    """One request, as far as it counts for what it does to the store."""

    verb: str
    path: str
    """`/<bucket>/<key>`, decoded."""
    query: str
    size: int
    """Bytes of its body."""
    status: int = 0
    """What the store answered; 0 where it was never asked, or not to the end."""
    deleted: list[str] = field(default_factory=list)
    """Keys that it deletes, where there are several."""

    @property
    def writes(self) -> bool:
        """Whether it changes the store."""
        return self.verb in {"PUT", "POST", "DELETE"}

    @property
    def touched(self) -> list[str]:
        """Paths that it writes or deletes; what the body names is known once the store has it."""
        if not self.writes:
            return []
        if self.query.partition("=")[0] == "delete":
            bucket = self.path.strip("/").split("/")[0]
            return [f"/{bucket}/{key}" for key in self.deleted]
        return [self.path]


@dataclass
class Fault:
    """Something that goes wrong for requests of some kind.

    The first `skip` requests that match are left alone, then `times` are hit (0: all).
    """

    kind: Kind
    path: str = ""
    """Regular expression to find in the path."""
    verbs: str = "GET HEAD PUT POST DELETE"
    times: int = 1
    skip: int = 0
    seconds: float = 0
    seen: int = 0
    hit: int = 0

    def hits(self, request: Request) -> bool:
        """Whether this request is hit; counts it."""
        if request.verb not in self.verbs.split() or not re.search(self.path, request.path):
            return False
        self.seen += 1
        hit = self.seen > self.skip and (self.times == 0 or self.seen <= self.skip + self.times)
        self.hit += hit
        return hit


@dataclass
class Trap:
    """Calls `spring` at a moment of a write, and cuts its connection: the one of that number, counted from 1.

    With `path`, a regular expression, only writes to such paths are counted.
    """

    number: int
    when: Moment
    spring: Callable[[], None]
    path: str = ""
    seen: int = 0

    def springs(self, request: Request) -> bool:
        """Whether this request is the one; counts it."""
        if not request.writes or not re.search(self.path, request.path):
            return False
        self.seen += 1
        return self.seen == self.number
