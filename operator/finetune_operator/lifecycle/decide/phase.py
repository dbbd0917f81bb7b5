"""The one word that says where a job is that goes on."""

from finetune_api.run_file import Mode
from finetune_api.status import Phase
from finetune_operator.lifecycle.context import RUNNING, Case
from finetune_operator.lifecycle.observe.attempts import Tally
from finetune_operator.lifecycle.observe.progress import told_phase


def phase_of(case: Case, now: Tally, *, creating: bool) -> Phase:
    """The phase; `creating` says that the child Job is about to be created."""
    job = case.job
    if case.is_paused:
        return Phase.SUSPENDED
    if job is None and not creating and not case.strays:
        return Phase.PENDING
    if case.is_held or (case.queue and job is None):
        return Phase.QUEUED
    if case.mode is Mode.VALIDATE:
        return Phase.VALIDATING
    return _of_the_pod(case, now)


def _of_the_pod(case: Case, now: Tally) -> Phase:
    pod, live = case.running, case.live
    if pod is None:
        return Phase.STARTING
    if live is not None:
        return told_phase(live, case.mode)
    known = any(attempt.pod == pod.name and not attempt.reason for attempt in case.stored.attempts)
    still = bool(now.last is not None and now.last.pod == pod.name and not now.last.reason)
    return case.stored.phase if known and still and case.stored.phase in RUNNING else Phase.STARTING
