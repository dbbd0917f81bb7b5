"""HTTP trace of requests to the API server: counts by verb, resource and code, and starts of watches.

kopf tells its handlers neither that a listing is complete nor what vanished between two watches. The requests do: a
watch that follows a listing means that everything listed is on its way to the handlers, and that a listing of our own
from now on misses nothing that the watch won't tell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from yarl import URL

from finetune_operator.store import Kind

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_KINDS = frozenset(kind.value for kind in Kind)

Count = Callable[[str, str, str], None]
"""Takes verb, resource and HTTP code (`error` where there was no answer)."""
Begun = Callable[[Kind, str | None], None]
"""Takes the kind and the namespace of a watch that began."""

Failed = Callable[[Kind, int], None]
"""Takes the kind and the HTTP code of a listing or a watch that was answered with an error."""


@dataclass(frozen=True)
class Request:
    """A request to the API server, as audit logs and RBAC name it."""

    verb: str
    resource: str
    """With its subresource, for example `finetunejobs/status`; empty for discovery."""
    namespace: str | None


def read_request(method: str, url: URL) -> Request:
    """Verb, resource and namespace of a request to the API server."""
    parts = [part for part in url.path.split("/") if part]
    parts = parts[2:] if parts[:1] == ["api"] else parts[3:]
    namespace = None
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource = "/".join([*parts[:1], *parts[2:3]])
    if method == "GET":
        watch = "watch" in url.query
        return Request("watch" if watch else "list" if len(parts) == 1 else "get", resource, namespace)
    return Request(_VERBS.get(method, method.lower()), resource, namespace)


def counting_trace(count: Count) -> aiohttp.TraceConfig:
    """Trace that counts the requests of a session."""
    trace = aiohttp.TraceConfig()

    async def ended(_s: aiohttp.ClientSession, _c: SimpleNamespace, done: aiohttp.TraceRequestEndParams) -> None:
        request = read_request(done.method, done.url)
        count(request.verb, request.resource, str(done.response.status))

    async def failed(_s: aiohttp.ClientSession, _c: SimpleNamespace, lost: aiohttp.TraceRequestExceptionParams) -> None:
        request = read_request(lost.method, lost.url)
        count(request.verb, request.resource, "error")

    trace.on_request_end.append(ended)
    trace.on_request_exception.append(failed)
    return trace


def watching_trace(begun: Begun, connected: Callable[[Kind], None], failed: Failed) -> aiohttp.TraceConfig:
    """Trace for kopf's session.

    It tells each watch that begins after a listing to `begun`, and each, also one that only goes on, to `connected`.
    An error in answer to either goes to `failed`: of some, kopf never tries again.
    """
    trace = aiohttp.TraceConfig()
    listed: set[tuple[str, str | None]] = set()

    async def ended(_s: aiohttp.ClientSession, _c: SimpleNamespace, done: aiohttp.TraceRequestEndParams) -> None:
        request = read_request(done.method, done.url)
        place = (request.resource, request.namespace)
        if request.resource not in _KINDS:
            return
        if done.response.status >= 400:
            if request.verb in ("list", "watch"):
                failed(Kind(request.resource), done.response.status)
            return
        if request.verb == "list":
            listed.add(place)
        elif request.verb == "watch":
            connected(Kind(request.resource))
            if place in listed:
                listed.discard(place)
                begun(Kind(request.resource), request.namespace)

    trace.on_request_end.append(ended)
    return trace
