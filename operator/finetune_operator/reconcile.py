"""The decision: what is known about one FineTuneJob in, what to do and to tell out. Pure: same world, same plan."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from finetune_api.failures import JobFailure, SpecInvalid
from finetune_api.status import Phase, Status
from finetune_operator.codec import read_run_file, read_spec, read_status
from finetune_operator.lifecycle.children import recorded
from finetune_operator.lifecycle.context import TERMINAL, Case, has_begun, newest_job
from finetune_operator.lifecycle.decide.child_actions import upkeep
from finetune_operator.lifecycle.decide.job_outcome import Verdict, failed, pods_may_be_late, refusal_deadline, verdict
from finetune_operator.lifecycle.decide.phase import phase_of
from finetune_operator.lifecycle.messages import told
from finetune_operator.lifecycle.observe.attempts import Tally, tally, tells_the_same
from finetune_operator.lifecycle.observe.dependencies import awaited, pinned
from finetune_operator.lifecycle.observe.progress import figures, final_figures, without_rates
from finetune_operator.lifecycle.observe.stall import stall_check
from finetune_operator.lifecycle.policies.acceptance import refusal
from finetune_operator.lifecycle.policies.active_deadline import (
    active_deadline,
    active_seconds,
    active_since,
    used_seconds,
)
from finetune_operator.lifecycle.policies.cleanup import cleanup
from finetune_operator.lifecycle.policies.dependency_failures import missing_deadline
from finetune_operator.lifecycle.policies.lookups import look_up, look_up_at
from finetune_operator.lifecycle.policies.sidecars import sidecar_check
from finetune_operator.lifecycle.policies.start_deadline import start_deadline, waiting
from finetune_operator.lifecycle.policies.stuck_pods import stuck_check
from finetune_operator.lifecycle.report import conditions
from finetune_operator.lifecycle.report.event_diff import story
from finetune_operator.lifecycle.report.status_size import bounded
from finetune_operator.lifecycle.report.status_throttle import settled
from finetune_operator.plan import CreateJob, Plan, World, Write


def reconcile(world: World) -> Plan:
    """Return what to write and what to tell, given all that is known about one FineTuneJob."""
    world = _in_seconds(world)
    stored = read_status(world.tune)
    if world.tune.deleting:
        return Plan(stored)
    if stored.phase in TERMINAL or stored.completion_time is not None:  # the phase may be a newer version's
        return _cleaned_up(world, stored)
    try:
        read = read_spec(world.tune)
        case = Case(world, stored, read.spec, ignored=read.ignored)
    except SpecInvalid as failure:
        if not has_begun(world, stored):
            return _refused(world, stored, failure)
        job = newest_job(world, stored)
        if world.run_file is None and job is not None:
            return Plan(stored, needs_run_file=job.name)
        spec = read_run_file(world.run_file or "", world.tune)
        if spec is None:
            return _held(world, stored, failure)
        case = Case(world, stored, spec, unread=str(failure.problems[0].located))
    wrong = refusal(case) if case.job is None else None
    if wrong is not None:
        return _held(world, stored, wrong) if has_begun(world, stored) else _refused(world, stored, wrong)
    now = tally(case)
    end = verdict(case, now)
    return _goes_on(case, now) if end is None else _ended(case, now, end)


def _in_seconds(world: World) -> World:
    """The world with whole seconds, as all times of the Kubernetes API have them."""
    live, refused = world.live, world.refusal
    return replace(
        world,
        now=world.now.replace(microsecond=0),
        live=replace(live, received=live.received.replace(microsecond=0)) if live is not None else None,
        refusal=replace(refused, at=refused.at.replace(microsecond=0)) if refused is not None else None,
    )


def _goes_on(case: Case, now: Tally) -> Plan:
    world, stored = case.world, case.stored
    writes = upkeep(case, now)
    creating = _created(writes) if world.refusal is None else ""
    phase = phase_of(case, now, creating=bool(creating))
    fields = figures(case)
    fresh = stored.model_copy(
        update={
            **fields,
            **(without_rates(stored) if case.running is None else {}),
            "observed_generation": world.tune.generation,
            "phase": phase,
            "conditions": conditions.ongoing(case, now, phase, creating),
            "start_time": stored.start_time or _first_start(case),
            "active_since": active_since(case),
            "active_seconds": active_seconds(case),
            "parents": pinned(case),
            "children": recorded(stored, case.jobs),
            **_counts(now),
        }
    )
    status, due = settled(stored, bounded(fresh), case.live, world.settings.status_seconds, world.now)
    again = _again_at(case, now, due)
    return Plan(status, writes, story(stored, status), again, case.running, look_up=look_up(case))


def _ended(case: Case, now: Tally, end: Verdict) -> Plan:
    stored, said = case.stored, end.said
    reason = end.failure.code if end.failure is not None else str(end.phase)
    closed = [
        attempt if attempt.reason else attempt.model_copy(update={"reason": reason, "ended": case.world.now})
        for attempt in now.attempts
    ]
    fields = {
        **final_figures(case, said),
        "start_time": stored.start_time or _first_start(case),
        "active_seconds": used_seconds(case),
        "children": recorded(stored, case.jobs),
        "artifacts": said.artifacts if said is not None else stored.artifacts,
        **_counts(now),
        "attempts": closed,
    }
    return _final(case.world, stored, end, fields, accepted=True)


def _refused(world: World, stored: Status, failure: JobFailure) -> Plan:
    return _final(world, stored, failed(told(failure)), {}, accepted=False)


def _held(world: World, stored: Status, failure: JobFailure) -> Plan:
    """A job that has begun and can't go on as it is: it waits, and says for what. A suspension stays one."""
    phase = stored.phase if newest_job(world, stored) is not None or stored.phase is Phase.SUSPENDED else Phase.PENDING
    told_now = conditions.held(world, stored, failure)
    fresh = stored.model_copy(
        update={"observed_generation": world.tune.generation, "phase": phase, "conditions": told_now}
    )
    status = bounded(fresh)
    return Plan(status, (), story(stored, status))


def _final(world: World, stored: Status, end: Verdict, fields: dict[str, Any], *, accepted: bool) -> Plan:
    fresh = stored.model_copy(
        update={
            "active_since": None,
            **fields,
            "observed_generation": world.tune.generation,
            "phase": end.phase,
            "conditions": conditions.finished(world, stored, end, accepted=accepted),
            "completion_time": world.now,
            "failure": end.failure,
        }
    )
    status = bounded(fresh)
    return Plan(status, (), story(stored, status), again_at=world.now)


def _cleaned_up(world: World, stored: Status) -> Plan:
    """A job that had ended: its outcome stays, only what the clean-up meets is reported."""
    generation = max(stored.observed_generation, world.tune.generation)
    known = conditions.after_the_end(world, stored)
    status = stored.model_copy(update={"observed_generation": generation, "conditions": known})
    left = cleanup(world, stored)
    return Plan(status, left.writes, again_at=left.again_at)


def _counts(now: Tally) -> dict[str, Any]:
    return {"attempts": list(now.attempts), "failures": now.failures, "preemptions": now.preemptions}


def _created(writes: tuple[Write, ...]) -> str:
    """Name of the Job that is about to be created."""
    return next((str(write.manifest["metadata"]["name"]) for write in writes if isinstance(write, CreateJob)), "")


def _first_start(case: Case) -> datetime | None:
    starts = [pod.container.started for pod in case.pods if pod.container is not None and pod.container.started]
    return min(starts, default=None)


def _again_at(case: Case, now: Tally, due: datetime | None) -> datetime | None:
    """The earliest moment at which something is due though nothing happens."""
    world, wait, refused = case.world, waiting(case), case.world.refusal
    moments = [due, active_deadline(case), stall_check(case), pods_may_be_late(case), stuck_check(case)]
    moments.append(sidecar_check(case))
    moments += [look_up_at(case)]
    moments.append(missing_deadline(case) if awaited(case) is not None else None)
    if wait is not None:
        moments += [start_deadline(case, wait), wait.since + conditions.PATIENCE]
    if case.job is None and refused is not None:
        moments += [refused.next_try, refusal_deadline(case)]
    if not tells_the_same(case, now) or pinned(case) != case.stored.parents:
        moments.append(world.now + timedelta(seconds=1))  # what follows once that is told
    return min((moment for moment in moments if moment is not None and moment > world.now), default=None)
