"""kopf registry and settings: watches three kinds, and disables kopf's own state handling.

Events only: other handlers, timers, daemons and indices would write to every object, or take quadratic time to start.
"""

from collections.abc import Callable, Iterator
from typing import Any

import kopf

from finetune_operator.event_handlers import EventHandlers
from finetune_operator.kopf_adapter.storages import NoDiffBase, NoProgress
from finetune_operator.labels import SELECTOR
from finetune_operator.store import GROUP_VERSION, Kind

Seen = Callable[[Kind], None]
_PLACES = {kind: (*GROUP_VERSION[kind], str(kind)) for kind in Kind}


class _Backoffs:
    """Retry delays of kopf's own requests in seconds: outages of the API server may last."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1, 2, 3)
        for _ in range(60):
            yield 5


def make_registry(
    event_handlers: EventHandlers, session: Callable[[], kopf.AiohttpSession], on_event: Seen
) -> kopf.OperatorRegistry:
    """Registry that feeds `event_handlers` and calls `on_event` per event; `session` makes connections."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return session()

    for kind in Kind:
        _watch(registry, kind, event_handlers, on_event)
    return registry


def kopf_settings(settings: kopf.OperatorSettings, chunk: int) -> kopf.OperatorSettings:
    """Set kopf up to watch children only, list `chunk` objects at a time, and write nothing."""
    for kind in (Kind.JOB, Kind.POD):
        settings.watching.label_selectors[_PLACES[kind]] = SELECTOR
    settings.watching.chunk_size = chunk
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Backoffs()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 0.5
    settings.peering.standalone = True
    return settings


def _watch(registry: kopf.OperatorRegistry, kind: Kind, event_handlers: EventHandlers, on_event: Seen) -> None:
    @kopf.on.event(*_PLACES[kind], registry=registry, id=f"watch-{kind}")
    async def take(event: kopf.RawEvent, **_: Any) -> None:
        on_event(kind)
        body: Any = event["object"]
        if event["type"] == "DELETED":
            event_handlers.gone(kind, body)
        else:
            event_handlers.seen(kind, body)
