"""The API server's audit log: who asked for what, and how it was answered."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from writes import is_write


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource, as a role grants it."""

    group: str
    resource: str
    """With its subresource after a slash."""
    verb: str


@dataclass(frozen=True)
class Request:
    """An answered request for a resource."""

    right: Right
    namespace: str
    name: str
    code: int
    forbidden: bool
    """Whether no role allowed it; admission may say no with the same code 403."""
    at: datetime
    is_write: bool


def requests(log: Path, user: str, since: datetime | None = None) -> Iterator[Request]:
    """Read what `user` asked for, the oldest first."""
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line) if user in line and line.endswith("\n") else {}
            of_user = entry.get("user", {}).get("username") == user and "objectRef" in entry
            if of_user and (since is None or datetime.fromisoformat(entry["requestReceivedTimestamp"]) >= since):
                yield _request(entry)


def writes(log: Path, user: str, namespace: str, since: datetime) -> list[str]:
    """What `user` wrote in a namespace, in words."""
    return [
        f"{request.right.verb} {request.right.resource} {request.name}: {request.code}"
        for request in requests(log, user, since)
        if request.namespace == namespace and request.is_write
    ]


def granted(objects: Iterable[dict[str, Any]], name: str) -> set[Right]:
    """The rights that the roles called `name` grant."""
    rules = [
        rule
        for item in objects
        if item["kind"] in ("Role", "ClusterRole") and item["metadata"]["name"] == name
        for rule in item["rules"]
    ]
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def counted(found: Iterable[Request]) -> Counter[Right]:
    """How often each right was used."""
    return Counter(request.right for request in found)


def _request(entry: dict[str, Any]) -> Request:
    what = entry["objectRef"]
    resource = "/".join(filter(None, (what.get("resource", ""), what.get("subresource", ""))))
    return Request(
        Right(what.get("apiGroup", ""), resource, entry["verb"]),
        what.get("namespace", ""),
        what.get("name", ""),
        int(entry.get("responseStatus", {}).get("code", 0)),
        entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
        datetime.fromisoformat(entry["requestReceivedTimestamp"]),
        is_write(entry["verb"], entry["requestURI"]),
    )
