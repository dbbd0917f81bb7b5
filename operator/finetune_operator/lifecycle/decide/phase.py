"""Phase of an unfinished job."""

from finetune_api.run_file import Mode
from finetune_api.status import Phase
from finetune_operator.lifecycle.context import RUNNING, ReconcileContext
from finetune_operator.lifecycle.observe.attempts import AttemptHistory
from finetune_operator.lifecycle.observe.progress import reported_phase


def phase_of(context: ReconcileContext, history: AttemptHistory, *, creating: bool) -> Phase:
    """The phase; `creating` means that the child Job is about to be created."""
    job = context.job
    if context.is_paused:
        return Phase.SUSPENDED
    if job is None and not creating and not context.orphaned_pods:
        return Phase.PENDING
    if context.is_held or (context.queue and job is None):
        return Phase.QUEUED
    if context.mode is Mode.VALIDATE:
        return Phase.VALIDATING
    return _of_the_pod(context, history)


def _of_the_pod(context: ReconcileContext, history: AttemptHistory) -> Phase:
    pod, live = context.running, context.live
    if pod is None:
        return Phase.STARTING
    if live is not None:
        return reported_phase(live, context.mode)
    known = any(attempt.pod == pod.name and not attempt.reason for attempt in context.stored.attempts)
    still = bool(history.last is not None and history.last.pod == pod.name and not history.last.reason)
    return context.stored.phase if known and still and context.stored.phase in RUNNING else Phase.STARTING
