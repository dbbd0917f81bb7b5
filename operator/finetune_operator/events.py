"""Kubernetes Events of a FineTuneJob."""

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime

from finetune_api import API_VERSION, KIND
from finetune_operator.cluster import Cluster, ClusterError
from finetune_operator.labels import MANAGER
from finetune_operator.plan import Event
from finetune_operator.records import FineTuneJobRecord, Json

log = logging.getLogger(__name__)

_AT_ONCE = 4
_MOST_PENDING = 10_000
"""Events that may wait; more are lost."""
_MESSAGE_BYTES = 1024
"""The API server refuses longer ones."""
_INSTANCE = os.environ.get("HOSTNAME") or socket.gethostname()


class EventRecorder:
    """Sends events asynchronously, a few at a time.

    One that can't be sent is lost; the status says the same.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pending: asyncio.Queue[Json] = asyncio.Queue(_MOST_PENDING)

    def tell(self, finetune_job: FineTuneJobRecord, event: Event) -> None:
        """Queue an event about a FineTuneJob."""
        with suppress(asyncio.QueueFull):
            self._pending.put_nowait(event_object(finetune_job, event, datetime.now(UTC)))

    async def run(self) -> None:
        """Send queued events until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(self._send())

    async def _send(self) -> None:
        while True:
            event = await self._pending.get()
            try:
                await self._cluster.create_event(event["metadata"]["namespace"], event)
            except ClusterError as error:
                log.debug("an event was lost: %s", error)


def event_object(finetune_job: FineTuneJobRecord, event: Event, now: datetime) -> Json:
    """An Event about a FineTuneJob."""
    about = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "namespace": finetune_job.namespace,
        "name": finetune_job.name,
        "uid": finetune_job.uid,
    }
    return event_about(about, event, now)


def event_about(about: Json, event: Event, now: datetime) -> Json:
    """An Event about a referenced object, with a unique name that sorts by time."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name']}.{time.time_ns():x}", "namespace": about["namespace"]},
        "involvedObject": about,
        "type": event.type.value,
        "reason": event.reason,
        "message": _fitting(event.message),
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": _INSTANCE,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def _fitting(message: str) -> str:
    raw = message.encode()
    return message if len(raw) <= _MESSAGE_BYTES else raw[: _MESSAGE_BYTES - 3].decode(errors="ignore") + "…"
