"""`reconcile`: snapshot of one FineTuneJob in, plan out. Pure and deterministic."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from finetune_api.failures import JobFailure, SpecInvalid
from finetune_api.status import Phase, Status
from finetune_operator.codec import read_run_file, read_spec, read_status
from finetune_operator.lifecycle.children import recorded
from finetune_operator.lifecycle.context import TERMINAL, ReconcileContext, has_begun, newest_job
from finetune_operator.lifecycle.decide.child_actions import child_actions
from finetune_operator.lifecycle.decide.job_outcome import (
    JobOutcome,
    failed,
    job_outcome,
    pods_may_be_late,
    refusal_deadline,
)
from finetune_operator.lifecycle.decide.phase import phase_of
from finetune_operator.lifecycle.messages import failure_info_from
from finetune_operator.lifecycle.observe.attempts import AttemptHistory, attempt_history, ends_are_recorded
from finetune_operator.lifecycle.observe.dependencies import dependency_wait, pinned_results
from finetune_operator.lifecycle.observe.progress import final_progress_fields, progress_fields, without_rates
from finetune_operator.lifecycle.observe.stall import stall_check
from finetune_operator.lifecycle.policies.acceptance import rejection
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
from finetune_operator.lifecycle.policies.start_deadline import pod_wait, start_deadline
from finetune_operator.lifecycle.policies.stuck_pods import stuck_check
from finetune_operator.lifecycle.report import conditions
from finetune_operator.lifecycle.report.event_diff import event_diff
from finetune_operator.lifecycle.report.status_size import bounded
from finetune_operator.lifecycle.report.status_throttle import throttled
from finetune_operator.plan import CreateJob, Plan, Snapshot, Write


def reconcile(snapshot: Snapshot) -> Plan:
    """The plan for a snapshot of one FineTuneJob."""
    snapshot = _in_seconds(snapshot)
    stored = read_status(snapshot.finetune_job)
    if snapshot.finetune_job.deleting:
        return Plan(stored)
    if stored.phase in TERMINAL or stored.completion_time is not None:  # the phase may be a newer version's
        return _cleaned_up(snapshot, stored)
    try:
        read = read_spec(snapshot.finetune_job)
        context = ReconcileContext(snapshot, stored, read.spec, ignored=read.ignored)
    except SpecInvalid as failure:
        if not has_begun(snapshot, stored):
            return _refused(snapshot, stored, failure)
        job = newest_job(snapshot, stored)
        if snapshot.run_file is None and job is not None:
            return Plan(stored, needs_run_file=job.name)
        spec = read_run_file(snapshot.run_file or "", snapshot.finetune_job)
        if spec is None:
            return _held(snapshot, stored, failure)
        context = ReconcileContext(snapshot, stored, spec, unread=str(failure.problems[0].located))
    wrong = rejection(context) if context.job is None else None
    if wrong is not None:
        return _held(snapshot, stored, wrong) if has_begun(snapshot, stored) else _refused(snapshot, stored, wrong)
    history = attempt_history(context)
    end = job_outcome(context, history)
    return _goes_on(context, history) if end is None else _ended(context, history, end)


def _in_seconds(snapshot: Snapshot) -> Snapshot:
    """The snapshot with whole seconds, as times of the Kubernetes API have them."""
    live, refused = snapshot.live, snapshot.refusal
    return replace(
        snapshot,
        now=snapshot.now.replace(microsecond=0),
        live=replace(live, received=live.received.replace(microsecond=0)) if live is not None else None,
        refusal=replace(refused, at=refused.at.replace(microsecond=0)) if refused is not None else None,
    )


def _goes_on(context: ReconcileContext, history: AttemptHistory) -> Plan:
    snapshot, stored = context.snapshot, context.stored
    writes = child_actions(context, history)
    creating = _created(writes) if snapshot.refusal is None else ""
    phase = phase_of(context, history, creating=bool(creating))
    fields = progress_fields(context)
    fresh = stored.model_copy(
        update={
            **fields,
            **(without_rates(stored) if context.running is None else {}),
            "observed_generation": snapshot.finetune_job.generation,
            "phase": phase,
            "conditions": conditions.ongoing(context, history, phase, creating),
            "start_time": stored.start_time or _first_start(context),
            "active_since": active_since(context),
            "active_seconds": active_seconds(context),
            "parents": pinned_results(context),
            "children": recorded(stored, context.jobs),
            **_counts(history),
        }
    )
    status, due = throttled(stored, bounded(fresh), context.live, snapshot.settings.status_seconds, snapshot.now)
    again = _again_at(context, history, due)
    return Plan(status, writes, event_diff(stored, status), again, context.running, look_up=look_up(context))


def _ended(context: ReconcileContext, history: AttemptHistory, end: JobOutcome) -> Plan:
    stored, termination = context.stored, end.termination
    reason = end.failure.code if end.failure is not None else str(end.phase)
    closed = [
        attempt if attempt.reason else attempt.model_copy(update={"reason": reason, "ended": context.now})
        for attempt in history.attempts
    ]
    fields = {
        **final_progress_fields(context, termination),
        "start_time": stored.start_time or _first_start(context),
        "active_seconds": used_seconds(context),
        "children": recorded(stored, context.jobs),
        "artifacts": termination.artifacts if termination is not None else stored.artifacts,
        **_counts(history),
        "attempts": closed,
    }
    return _final(context.snapshot, stored, end, fields, accepted=True)


def _refused(snapshot: Snapshot, stored: Status, failure: JobFailure) -> Plan:
    return _final(snapshot, stored, failed(failure_info_from(failure)), {}, accepted=False)


def _held(snapshot: Snapshot, stored: Status, failure: JobFailure) -> Plan:
    """Plan of a started job that can't continue as it is: it waits with a reason. A suspension stays."""
    phase = (
        stored.phase if newest_job(snapshot, stored) is not None or stored.phase is Phase.SUSPENDED else Phase.PENDING
    )
    told_now = conditions.held(snapshot, stored, failure)
    fresh = stored.model_copy(
        update={"observed_generation": snapshot.finetune_job.generation, "phase": phase, "conditions": told_now}
    )
    status = bounded(fresh)
    return Plan(status, (), event_diff(stored, status))


def _final(snapshot: Snapshot, stored: Status, end: JobOutcome, fields: dict[str, Any], *, accepted: bool) -> Plan:
    fresh = stored.model_copy(
        update={
            "active_since": None,
            **fields,
            "observed_generation": snapshot.finetune_job.generation,
            "phase": end.phase,
            "conditions": conditions.finished(snapshot, stored, end, accepted=accepted),
            "completion_time": snapshot.now,
            "failure": end.failure,
        }
    )
    status = bounded(fresh)
    return Plan(status, (), event_diff(stored, status), again_at=snapshot.now)


def _cleaned_up(snapshot: Snapshot, stored: Status) -> Plan:
    """Plan of an already ended job: its outcome is unchanged, clean-up is reported."""
    generation = max(stored.observed_generation, snapshot.finetune_job.generation)
    known = conditions.after_the_end(snapshot, stored)
    status = stored.model_copy(update={"observed_generation": generation, "conditions": known})
    left = cleanup(snapshot, stored)
    return Plan(status, left.writes, again_at=left.again_at)


def _counts(history: AttemptHistory) -> dict[str, Any]:
    return {"attempts": list(history.attempts), "failures": history.failures, "preemptions": history.preemptions}


def _created(writes: tuple[Write, ...]) -> str:
    """Name of a Job about to be created."""
    return next((str(write.manifest["metadata"]["name"]) for write in writes if isinstance(write, CreateJob)), "")


def _first_start(context: ReconcileContext) -> datetime | None:
    starts = [pod.container.started for pod in context.pods if pod.container is not None and pod.container.started]
    return min(starts, default=None)


def _again_at(context: ReconcileContext, history: AttemptHistory, due: datetime | None) -> datetime | None:
    """Earliest time at which something is due without an event."""
    snapshot, wait, refused = context.snapshot, pod_wait(context), context.snapshot.refusal
    moments = [due, active_deadline(context), stall_check(context), pods_may_be_late(context), stuck_check(context)]
    moments.append(sidecar_check(context))
    moments += [look_up_at(context)]
    moments.append(missing_deadline(context) if dependency_wait(context) is not None else None)
    if wait is not None:
        moments += [start_deadline(context, wait), wait.since + conditions.PATIENCE]
    if context.job is None and refused is not None:
        moments += [refused.next_try, refusal_deadline(context)]
    if not ends_are_recorded(context, history) or pinned_results(context) != context.stored.parents:
        moments.append(snapshot.now + timedelta(seconds=1))  # what follows once that is told
    return min((moment for moment in moments if moment is not None and moment > snapshot.now), default=None)
