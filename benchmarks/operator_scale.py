"""How fast does the operator take up many jobs, and what does it need? Against a real control plane with played pods.

    make bench-scale [ARGS="--jobs 1000 --rate 20"]

etcd, API server, controllers, scheduler, KWOK, operator and client share this machine: compare figures of one machine.
The kubelet is all that is played: pods run for a second and end with a result. Times come from the audit log.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from control_plane import ControlPlane
from scale import audit
from scale.figures import Figures, Restart, table
from scale.load import CHILDREN, JOBS, NAMESPACE, STARTED, Client, Watched, client
from scale.machine import processor_seconds, since
from scale.process import BRIEF, STAYING, USER, OperatorProcess
from scale.trainers import start_trainers

CRD = Path(__file__).parents[1] / "crds" / "finetunejobs.yaml"
ENDED = ("Succeeded", "Failed", "GateFailed")
RUNNING = (STARTED, "Training", "Evaluating", "Exporting")
_QUIET_SECONDS = 6
"""Longer than the operator holds back what may wait for something else to be written."""


def main() -> None:
    """Measure, and print the table."""
    arguments = _parse()
    folder = Path(tempfile.mkdtemp(prefix="operator-scale-"))
    try:
        with ControlPlane(folder, controllers=True, scheduler=True, audit=True) as cluster:
            _prepare(cluster)
            figures = asyncio.run(_measure(cluster, arguments))
    finally:
        if arguments.keep:
            print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder)
    print(f"\n{_conditions(arguments)}\n\n{table(figures)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(figures), indent=1))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="FineTuneJobs to create")
    parser.add_argument("--rate", type=float, default=0, help="jobs a second; 0 creates them as fast as they are taken")
    parser.add_argument("--running", type=int, default=200, help="jobs that run while the operator is killed")
    parser.add_argument("--workers", type=int, default=16, help="the operator's setting `workers`")
    parser.add_argument("--patience", type=float, default=600, help="seconds after which a step has failed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--keep", action="store_true", help="keep all logs")
    return parser.parse_args()


def _prepare(cluster: ControlPlane) -> None:
    done = cluster.kubectl("apply", "-f", str(CRD))
    if done.returncode:
        raise SystemExit(done.stderr)
    cluster.wait_for("/apis/finetune.dev/v1alpha1/finetunejobs")
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    start_trainers(cluster)


async def _measure(cluster: ControlPlane, arguments: argparse.Namespace) -> Figures:
    operator = OperatorProcess(cluster, arguments.workers)
    try:
        print(f"operator ready after {operator.start():.1f} s, process {operator.pid}", flush=True)
        async with client(cluster) as user:
            run = _Run(cluster, operator, user, arguments)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(user.watch(run.watched))
                await run.measure()
                watching.cancel()
    finally:
        operator.kill()
    return run.figures


class _Run:
    """One run of the benchmark."""

    def __init__(
        self, cluster: ControlPlane, operator: OperatorProcess, user: Client, arguments: argparse.Namespace
    ) -> None:
        self._cluster, self._operator, self._user, self._arguments = cluster, operator, user, arguments
        self.figures = Figures(arguments.jobs)
        self.watched = Watched()

    async def measure(self) -> None:
        """Create jobs and wait until they have ended; kill the operator over those, and over running ones."""
        jobs, running = self._arguments.jobs, self._arguments.running
        await self._take_up()
        self._check(await self._user.items(JOBS), await self._user.items(CHILDREN))
        await self._restart(f"{jobs} ended jobs", jobs)
        if running:
            await self._user.create(running, STAYING, "staying")
            await self._until(running, RUNNING)
            await self._quiet()
            await self._restart(f"{jobs} ended and {running} running jobs", jobs + running)

    async def _take_up(self) -> None:
        """Create the jobs, wait until all have ended, and take all figures of that."""
        figures, jobs = self.figures, self._arguments.jobs
        figures.idle_memory = self._operator.memory_mebibytes()[0]
        mark, used, begun = self._mark(), processor_seconds(), time.monotonic()
        await self._user.create(jobs, BRIEF, "brief", self._arguments.rate)
        print(f"created {jobs} jobs in {time.monotonic() - begun:.1f} s", flush=True)
        await self._until(jobs, ENDED)
        figures.processors = since(used)
        figures.looks = self._operator.looks()
        figures.memory, figures.peak_memory = self._operator.memory_mebibytes()
        await self._quiet()
        log = audit.read(self._cluster.audit_log, mark)
        _read_times(figures, log, self.watched)
        counted = audit.by_resource(request for request in log if request.user == USER)
        figures.requests = {f"{verb} {resource} {code}": count for (verb, resource, code), count in counted.items()}

    def _check(self, jobs: list[dict[str, Any]], children: list[dict[str, Any]]) -> None:
        """Count what is not as it should be: each job has one child and succeeded."""
        owners = Counter(child["metadata"]["ownerReferences"][0]["uid"] for child in children)
        self.figures.not_one_child = sum(owners[job["metadata"]["uid"]] != 1 for job in jobs)
        self.figures.not_succeeded = sum(job["status"]["phase"] != "Succeeded" for job in jobs)

    async def _restart(self, over: str, jobs: int) -> None:
        self._operator.kill()
        mark = self._mark()
        ready = self._operator.start()
        idle = ready + self._operator.wait_until_idle(jobs)
        used = processor_seconds()["operator"]
        await asyncio.sleep(_QUIET_SECONDS)
        writes = [r for r in audit.read(self._cluster.audit_log, mark) if r.user == USER and r.is_write]
        for (verb, resource, code), count in audit.by_resource(writes).items():
            print(f"after a restart over {over}: {verb} {resource} {code}: {count}", flush=True)
        self.figures.restarts.append(
            Restart(over, ready, idle, len(writes), self._operator.memory_mebibytes()[0], used)
        )

    async def _until(self, count: int, phases: tuple[str, ...]) -> None:
        patience = self._arguments.patience
        deadline = time.monotonic() + patience
        while self.watched.count(phases) < count:
            if time.monotonic() > deadline:
                there = dict(Counter(self.watched.phases.values()))
                raise SystemExit(f"{count} jobs should be {' or '.join(phases)} after {patience:.0f} s, but: {there}")
            await asyncio.sleep(0.05)

    async def _quiet(self) -> None:
        """Wait until the operator sends nothing any more: events may come after the status."""
        before = -1.0
        while before != (now := self._operator.requests()):
            before = now
            await asyncio.sleep(_QUIET_SECONDS)

    def _mark(self) -> int:
        """Where the audit log ends now."""
        return self._cluster.audit_log.stat().st_size


def _read_times(figures: Figures, log: list[audit.Request], watched: Watched) -> None:
    created = {r.name: r.answered for r in log if (r.verb, r.resource, r.code) == ("create", "finetunejobs", 201)}
    begun = min(r.received for r in log if r.name in created and r.resource == "finetunejobs" and r.verb == "create")
    children = {
        request.name.rpartition("-")[0]: request.answered
        for request in log
        if (request.user, request.verb, request.resource, request.code) == (USER, "create", "jobs", 201)
    }
    figures.latencies = [children[name] - at for name, at in created.items() if name in children]
    figures.all_children = max(children.values()) - begun
    figures.all_terminal = max(at for phase in ENDED for at in watched.reached.get(phase, {}).values()) - begun


def _conditions(arguments: argparse.Namespace) -> str:
    pace = f"{arguments.rate:g} a second" if arguments.rate else "in a burst"
    load = os.getloadavg()[0]
    return (
        f"{arguments.jobs} jobs {pace}, {arguments.workers} workers; {os.cpu_count()} cores for everything, "
        f"load {load:.1f} at the end; controllers and scheduler may send 500 requests a second; pods run for 1 s"
    )


if __name__ == "__main__":
    main()
