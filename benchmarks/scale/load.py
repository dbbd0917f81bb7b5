"""Many FineTuneJobs at once, and a watch that tells when each of them got where."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from control_plane import ControlPlane

NAMESPACE = "scale"
JOBS = f"/apis/finetune.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs"
CHILDREN = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
STARTED = "Started"
"""In place of the phase Starting once a pod runs."""
_CONNECTIONS = 16
_LINE_BYTES = 1 << 20


@dataclass
class Watched:
    """What a watch has seen."""

    phases: dict[str, str] = field(default_factory=dict)
    """Newest phase of each job, by its name."""
    reached: dict[str, dict[str, float]] = field(default_factory=dict)
    """When a job was first seen in a phase: seconds since the epoch, by phase and name."""

    def count(self, phases: Iterable[str]) -> int:
        """Number of jobs that are in one of `phases` now."""
        wanted = set(phases)
        return sum(phase in wanted for phase in self.phases.values())

    def take(self, body: dict[str, Any]) -> None:
        """Note the phase of a job; one that has only just got its pod is `STARTED`."""
        name, status = body["metadata"]["name"], body.get("status") or {}
        phase = status.get("phase", "")
        phase = STARTED if phase == "Starting" and status.get("attempts") else phase
        self.phases[name] = phase
        self.reached.setdefault(phase, {}).setdefault(name, time.time())


class Client:
    """A user of the API server with many hands."""

    def __init__(self, cluster: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._server = cluster.server
        self._session = session

    async def create(self, count: int, profile: str, prefix: str, rate: float = 0) -> None:
        """Create jobs `prefix-0...`: as fast as they are taken, or `rate` a second."""
        start, numbers = time.monotonic(), iter(range(count))

        async def hand() -> None:
            for number in numbers:
                if rate:
                    await asyncio.sleep(start + number / rate - time.monotonic())
                await self._create(job(f"{prefix}-{number}", profile))

        await asyncio.gather(*(hand() for _ in range(_CONNECTIONS)))

    async def items(self, path: str) -> list[dict[str, Any]]:
        """List all objects of a collection."""
        found: list[dict[str, Any]] = []
        more = "first"
        query = {"limit": "500"}
        while more:
            async with self._session.get(f"{self._server}{path}", params=query) as answer:
                answer.raise_for_status()
                page = await answer.json()
            found += page["items"]
            more = query["continue"] = page["metadata"].get("continue") or ""
        return found

    async def watch(self, watched: Watched) -> None:
        """Follow all jobs until cancelled. A watch may end at any time; the next one begins with all jobs."""
        while True:
            async with self._session.get(f"{self._server}{JOBS}", params={"watch": "true"}) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # a new CRD is set up more than once
                        break
                    watched.take(event["object"])

    async def _create(self, body: dict[str, Any]) -> None:
        async with self._session.post(f"{self._server}{JOBS}", json=body) as answer:
            if answer.status != 201:
                raise SystemExit(f"{body['metadata']['name']} can't be created: {await answer.text()}")


@asynccontextmanager
async def client(cluster: ControlPlane) -> AsyncIterator[Client]:
    """Connect as the administrator."""
    trust = ssl.create_default_context(cafile=cluster.credentials.authority)
    headers = {"Authorization": f"Bearer {cluster.credentials.admin_token}", "User-Agent": "benchmark"}
    connector = aiohttp.TCPConnector(ssl=trust, limit=_CONNECTIONS + 2)
    patience = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=patience, read_bufsize=_LINE_BYTES
    ) as session:
        yield Client(cluster, session)


def job(name: str, profile: str) -> dict[str, Any]:
    """Return a job as users write them."""
    secret = {"name": "s3-credentials"}
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "task": "SequenceClassification",
            "model": {"uri": "s3://finetune/models/all-MiniLM-L6-v2", "secretRef": secret},
            "data": {
                "train": [{"uri": "s3://finetune/data/support_tickets.csv", "secretRef": secret}],
                "columns": {"text": "text", "label": "label"},
                "split": {"validation": 0.1, "test": 0.1, "stratify": True, "seed": 42},
                "maxLength": 128,
            },
            "method": {"type": "LoRA", "lora": {"rank": 8, "alpha": 16, "dropout": 0.05}},
            "training": {"epochs": 4, "batchSize": 8, "earlyStopping": {"patience": 2}, "seed": 42},
            "evaluation": {"metric": "f1Macro", "baseline": True, "gates": [{"metric": "f1Macro", "min": 0.7}]},
            "output": {"uri": "s3://finetune/results", "secretRef": secret},
            "compute": {"profile": profile},
        },
    }
