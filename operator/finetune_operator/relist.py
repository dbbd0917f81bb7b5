"""Relists: complete listings before the first reconcile, and after each watch restart.

Until every kind was listed once nothing is reconciled: a FineTuneJob that is seen before its Job looks childless. And
what vanished while nobody watched is found here, since a listing shows deletions only by what is missing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from finetune_operator.cluster import Cluster, ExpiredError, UnavailableError
from finetune_operator.event_handlers import EventHandlers
from finetune_operator.store import Kind

log = logging.getLogger(__name__)

WatchScope = tuple[Kind, str | None]
_EVERYWHERE: list[str | None] = [None]
_RETRY_SECONDS = 1.0


class Relister:
    """Lists requested namespaces one after another."""

    def __init__(
        self, cluster: Cluster, event_handlers: EventHandlers, namespaces: Sequence[str], synced: Callable[[], None]
    ) -> None:
        self._cluster = cluster
        self._event_handlers = event_handlers
        self._synced = synced
        self._missing: set[WatchScope] = {(kind, namespace) for kind in Kind for namespace in namespaces or _EVERYWHERE}
        self._asked: asyncio.Queue[WatchScope] = asyncio.Queue()

    @property
    def complete(self) -> bool:
        """Whether everything was listed at least once."""
        return not self._missing

    def ask(self, kind: Kind, namespace: str | None) -> None:
        """Request a listing."""
        self._asked.put_nowait((kind, namespace))

    async def run(self) -> None:
        """Process requests until cancelled."""
        while True:
            scope = await self._asked.get()
            await self._list_until_done(*scope)
            if scope in self._missing:
                self._missing.discard(scope)
                if self.complete:
                    self._synced()

    async def _list_until_done(self, kind: Kind, namespace: str | None) -> None:
        while True:
            try:
                return await self._list(kind, namespace)
            except (UnavailableError, ExpiredError) as error:
                log.warning("listing %s in %s: %s; trying again", kind, namespace or "all namespaces", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _list(self, kind: Kind, namespace: str | None) -> None:
        missing = self._event_handlers.known(kind, namespace)
        async for page in self._cluster.pages(kind, namespace):
            for body in page:
                missing.discard(body["metadata"]["uid"])
                self._event_handlers.seen(kind, body)
        self._event_handlers.vanished(kind, missing)
