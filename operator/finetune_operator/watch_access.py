"""Check of watch permissions: the operator restarts when they change.

A restart heals both: the check at its start says what is missing, and it serves what there is.
"""

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus

from finetune_operator.cluster import Cluster, UnavailableError
from finetune_operator.permissions import may_watch
from finetune_operator.store import Kind

log = logging.getLogger(__name__)

_CONFIRM_SECONDS = 5.0
_LOOK_SECONDS = 30.0


class WatchAccessError(Exception):
    """The operator must restart, for the reason in the message."""


class WatchAccess:
    """Watched namespaces, and those that may be watched."""

    def __init__(self, cluster: Cluster, wanted: Sequence[str], served: Sequence[str]) -> None:
        """Take the configured namespaces and those of them that are served; none stands for all."""
        self._cluster = cluster
        self._served = list(served) or [""]
        self._left_out = [namespace for namespace in wanted if namespace not in served]
        self._doubts = asyncio.Event()
        self._gone: Kind | None = None

    @property
    def left_out(self) -> int:
        """Configured namespaces that are not served."""
        return len(self._left_out)

    def failed(self, kind: Kind, status: int) -> None:
        """Record an error response of a listing or watch."""
        if status == HTTPStatus.NOT_FOUND:
            self._gone = kind
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            self._doubts.set()

    async def run(self) -> None:
        """Check periodically and after errors. Raises `WatchAccessError` once a difference persists."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._doubts.wait()
            except TimeoutError:
                pass
            try:
                await self._look()
            except UnavailableError as error:
                log.debug("not looked for namespaces: %s", error)

    async def _look(self) -> None:
        if self._gone is not None:
            raise WatchAccessError(f"the API server knows no {self._gone} any more; starting again")
        for namespace in self._left_out:
            if await may_watch(self._cluster, namespace):
                raise WatchAccessError(f"namespace {namespace} can be served now; starting again")
        if not self._doubts.is_set():
            return
        self._doubts.clear()
        await asyncio.sleep(_CONFIRM_SECONDS)
        for namespace in self._served:
            if not await may_watch(self._cluster, namespace):
                where = f"namespace {namespace} is gone, or its Role" if namespace else "the right to watch is gone"
                raise WatchAccessError(f"{where}; starting again")
