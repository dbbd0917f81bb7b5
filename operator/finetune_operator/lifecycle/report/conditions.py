"""Conditions of a FineTuneJob: all eight types are always present.

The ninth, PodStuckTerminating, comes with the first pod that does not end when it should.
"""

from datetime import timedelta
from typing import Literal, NamedTuple

from finetune_api.failures import DataNotFound, FailureClass, InitContainerFailed, JobFailure
from finetune_api.outcome import EvaluationResult
from finetune_api.parent import Parent
from finetune_api.run_file import Mode
from finetune_api.status import Attempt, Condition, Phase, Status
from finetune_operator.lifecycle.context import RUNNING, ReconcileContext, condition
from finetune_operator.lifecycle.decide.job_outcome import NOT_CREATED, JobOutcome, profile_of
from finetune_operator.lifecycle.messages import clock_text, failure_info_from, listed, sentence, tidy
from finetune_operator.lifecycle.observe.attempts import AttemptHistory, last_failure
from finetune_operator.lifecycle.observe.checkpoints import committed, kept, request_problem
from finetune_operator.lifecycle.observe.dependencies import MISSING, dependency_wait
from finetune_operator.lifecycle.observe.pod_outcome import INTERRUPTIONS, NODE_REFUSED, UNCOUNTED, refused_by_node
from finetune_operator.lifecycle.observe.progress import doing
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE, unreachable
from finetune_operator.lifecycle.policies.lookups import found
from finetune_operator.lifecycle.policies.start_deadline import pod_wait
from finetune_operator.lifecycle.policies.stuck_pods import stuck_message, stuck_pod
from finetune_operator.manifests.profile_fields import profile_hint
from finetune_operator.plan import QueueState, Snapshot
from finetune_operator.records import PodRecord

UNREADABLE = "SpecUnreadable"
"""Reason of the condition Accepted while a job goes on by the run file of its Job."""
NO_QUEUE = "QueueMissing"
"""Reason of the condition Progressing while there is nobody to let a queued Job go."""
_QUEUE_PROBLEMS = {
    QueueState.MISSING: ("there is no such LocalQueue", "create it, or ask your platform team for its name"),
    QueueState.NO_KUEUE: ("Kueue is not installed here (no kueue.x-k8s.io)", "install Kueue, with such a LocalQueue"),
}
HELD = "SuspendedByOthers"
"""Reason of the condition Progressing while somebody else suspends the Job, without a queue."""
CREATED, RETRYING, RESUMED, POD_STARTING = "JobCreated", "Retrying", "Resumed", "PodStarting"
STOPPING = "Stopping"
PATIENCE = timedelta(seconds=5)
"""A pod that starts faster than this is not worth a status write."""


class ConditionValue(NamedTuple):
    """Status, reason and message of a condition."""

    kind: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


_ACCEPTED = ConditionValue("Accepted", "True", "SpecAccepted", "this version can run the spec")
REFUSED = "WriteRefused"
"""Type of the condition that is True while the API server refuses something else than the creation of a Job."""
STUCK = "PodStuckTerminating"
"""Type of the condition that is True while a pod does not end when it should."""


def ongoing(context: ReconcileContext, history: AttemptHistory, phase: Phase, creating: str) -> list[Condition]:
    """Conditions of an unfinished job; `creating` is the name of a child Job about to be created."""
    pod = context.running
    name = f"pod {pod.name} on node {pod.node}" if pod is not None else ""
    idle = "Suspended" if context.is_paused else "Queued" if phase is Phase.QUEUED else "NotStarted"
    return _dated(
        context.snapshot,
        context.stored,
        [
            _accepted(context),
            _data_ready(context),
            ConditionValue("Running", "True", "PodRunning", name)
            if pod
            else ConditionValue("Running", "False", idle, ""),
            _progressing(context, history, phase, creating),
            _suspended(context),
            ConditionValue("Succeeded", "Unknown", "NotFinished", ""),
            ConditionValue("Failed", "False", "NotFinished", ""),
            ConditionValue("Finished", "False", "NotFinished", ""),
            *_stuck(context),
            *_hindered(context.snapshot, context.stored),
        ],
    )


def finished(snapshot: Snapshot, stored: Status, end: JobOutcome, *, accepted: bool = True) -> list[Condition]:
    """Conditions of an ended job; `accepted` tells whether its spec could run."""
    failure, won = end.failure, end.phase is Phase.SUCCEEDED
    reason = failure.code if failure is not None else str(end.phase)
    message = sentence(failure) if failure is not None else _result(end)
    return _dated(
        snapshot,
        stored,
        [
            _ACCEPTED if accepted else ConditionValue("Accepted", "False", reason, message),
            _data_at_the_end(stored, end),
            ConditionValue("Running", "False", reason, ""),
            ConditionValue("Progressing", "False", reason, ""),
            ConditionValue("Suspended", "False", "Finished", ""),
            ConditionValue("Succeeded", "True" if won else "False", reason, message),
            ConditionValue("Failed", "False" if won else "True", reason, message),
            ConditionValue("Finished", "True", str(end.phase), message),
            *([ConditionValue(STUCK, "False", "Finished", "")] if condition(stored, STUCK) is not None else []),
            *_hindered(snapshot, stored),
        ],
    )


def held(snapshot: Snapshot, stored: Status, failure: JobFailure) -> list[Condition]:
    """Conditions of a started job that can't continue as it is; others are unchanged."""
    message = sentence(failure_info_from(failure))
    said = [
        ConditionValue("Accepted", "Unknown", failure.code, message),
        ConditionValue(
            "Progressing", "False", failure.code, tidy(f"the job has begun and is not ended for it; {message}")
        ),
    ]
    kinds = {one.kind for one in said}
    return [*_dated(snapshot, stored, said), *(known for known in stored.conditions if known.type not in kinds)]


def _accepted(context: ReconcileContext) -> ConditionValue:
    if context.unread:
        text = f"this version of the operator can't read the spec ({context.unread}); the job continues as specified"
        return ConditionValue("Accepted", "Unknown", UNREADABLE, tidy(f"{text}, by the run file of its Job"))
    ignored = request_problem(context) or unknown_problem(context) or idle_gpus(context)
    return _ACCEPTED._replace(message=f"{_ACCEPTED.message}; {ignored}") if ignored else _ACCEPTED


def idle_gpus(context: ReconcileContext) -> str:
    """Warning on a job that requests a GPU profile without GPUs; empty for others."""
    name = context.spec.compute.profile
    profile = context.snapshot.settings.profiles.get(name)
    if profile is None or not profile.max_gpus_per_node or context.spec.compute.gpus_per_node:
        return ""
    return f"profile {name} has GPUs and the job takes none: it trains on the CPU; set compute.gpusPerNode: 1 for a GPU"


def unknown_problem(context: ReconcileContext) -> str:
    """Fields of the spec that this version ignores as unknown; empty without any."""
    if not context.ignored:
        return ""
    return (
        f"{listed(context.ignored)} left out: this version of the operator does not know what a newer CRD lets through"
    )


def after_the_end(snapshot: Snapshot, stored: Status) -> list[Condition]:
    """Conditions of an already ended job: refused clean-up is reported, others are unchanged."""
    said = _dated(snapshot, stored, _hindered(snapshot, stored))
    before = condition(stored, REFUSED)
    if not said or (before is not None and (before.status, before.message) == (said[0].status, said[0].message)):
        return stored.conditions
    return [*(known for known in stored.conditions if known.type != REFUSED), *said]


def _hindered(snapshot: Snapshot, stored: Status) -> list[ConditionValue]:
    """Whether the API server refuses writes to pods and Jobs."""
    if snapshot.refused_writes:
        texts = [f"the API server refuses to {it.what} ({it.code}): {it.message}" for it in snapshot.refused_writes]
        return [ConditionValue(REFUSED, "True", "RefusedByApiServer", tidy(listed(texts, between="; ")))]
    return [ConditionValue(REFUSED, "False", "Done", "")] if condition(stored, REFUSED) is not None else []


def _stuck(context: ReconcileContext) -> list[ConditionValue]:
    pod, before = stuck_pod(context), condition(context.stored, STUCK)
    if pod is not None:
        return [ConditionValue(STUCK, "True", "NodeSilent", tidy(stuck_message(context, pod)))]
    return [ConditionValue(STUCK, "False", "PodEnded", "")] if before is not None else []


def _progressing(context: ReconcileContext, history: AttemptHistory, phase: Phase, creating: str) -> ConditionValue:
    kind, refusal = "Progressing", context.snapshot.refusal
    if context.is_paused:
        return ConditionValue(kind, "Unknown", "Suspended", "waits for runPolicy.suspend: false")
    wait = dependency_wait(context)
    if wait is not None:
        return ConditionValue(kind, "False" if wait.reason == MISSING else "True", wait.reason, tidy(wait.message))
    if context.job is None and refusal is not None:
        hint = profile_hint(refusal.message, profile_of(context))
        text = f"the API server refused the child Job ({refusal.code}): {refusal.message}"
        return ConditionValue(kind, "False", NOT_CREATED, tidy(f"{text}; {hint}" if hint else text))
    if creating:
        return _created(context, creating)
    if phase is Phase.QUEUED:
        return _queued(context)
    if context.running is not None:
        return _running(context, context.running, phase)
    return _starting(context, history)


def _running(context: ReconcileContext, pod: PodRecord, phase: Phase) -> ConditionValue:
    if pod.deleting:
        return ConditionValue("Progressing", "True", STOPPING, _time_to_save(pod))
    if text := unreachable(context):
        return ConditionValue("Progressing", "Unknown", UNREACHABLE, text)
    live = context.live
    return ConditionValue(
        "Progressing", "True", str(phase), doing(live, context.mode) if live else _last_words(context, phase)
    )


def _queued(context: ReconcileContext) -> ConditionValue:
    """Reason that a Job suspended by another controller waits."""
    job, queue = context.job, context.queue or (context.job.queue if context.job is not None else "")
    known = found(context)
    if known is not None and known.queue in _QUEUE_PROBLEMS:
        return ConditionValue("Progressing", "False", NO_QUEUE, _no_queue(context, queue, known.queue))
    if queue:
        return ConditionValue("Progressing", "True", "Queued", f"waits in queue {queue}")
    who = f"by {job.suspender}, " if job is not None and job.suspender else ""
    name = job.name if job is not None else ""
    text = f"Job {name} is suspended, {who}not for runPolicy.suspend, and waits until that ends"
    remedy = "if Kueue manages Jobs without a queue here, name a LocalQueue in compute.queue of a new job"
    return ConditionValue("Progressing", "False", HELD, f"{text}; {remedy}")


def _no_queue(context: ReconcileContext, queue: str, state: QueueState) -> str:
    namespace = context.finetune_job.namespace
    what, remedy = _QUEUE_PROBLEMS[state]
    text = f"waits in queue {queue} of namespace {namespace}, and {what}: {remedy}"
    return f"{text}; or create the job anew without compute.queue"


def _starting(context: ReconcileContext, history: AttemptHistory) -> ConditionValue:
    """Condition without a running pod: what it waits for, once that takes unusually long."""
    kind, wait, last = "Progressing", pod_wait(context), history.last
    stored = condition(context.stored, kind)
    if wait is not None and wait.is_blocked:
        return ConditionValue(kind, "False", wait.failure.code, tidy(wait.message))
    if last is not None and last.reason not in UNCOUNTED and (context.pod is None or context.pod.name == last.pod):
        return ConditionValue(kind, "True", RETRYING, _what_follows(context, history, last))
    if wait is not None and context.now >= wait.since + PATIENCE:
        return ConditionValue(kind, "True", POD_STARTING, tidy(wait.message))
    if stored is not None and stored.reason == "Suspended":
        return ConditionValue(kind, "True", RESUMED, "resumed; waits for its pod")
    if stored is not None and stored.reason in {CREATED, RETRYING, RESUMED, POD_STARTING}:
        return ConditionValue(kind, "True", stored.reason, stored.message)
    if stored is None and context.job is not None:  # created, but not told yet
        return _created(context, context.job.name)
    return ConditionValue(kind, "True", POD_STARTING, "waits for its pod")


def _what_follows(context: ReconcileContext, history: AttemptHistory, last: Attempt) -> str:
    pod = context.pod
    if last.reason == NODE_REFUSED and pod is not None and pod.name == last.pod:
        return tidy(f"{refused_by_node(pod)}; another one follows")
    cause = "was interrupted" if last.reason in INTERRUPTIONS else "failed"
    if last.reason == InitContainerFailed.code:
        return tidy(
            f"attempt {last.number} did not start: {last_failure(context, history).message}; the next one follows"
        )
    safe = committed(context)
    follows = f"the next one resumes from step {safe[-1].step}" if safe else "the next one follows"
    return f"attempt {last.number} {cause} ({last.reason}); {follows}"


def _time_to_save(pod: PodRecord) -> str:
    until = f" until {clock_text(pod.deletion_deadline)}" if pod.deletion_deadline is not None else " time"
    return f"pod {pod.name} was asked to end and has{until} to save a checkpoint"


def _created(context: ReconcileContext, name: str) -> ConditionValue:
    taken = _taken(context.stored.parents)
    waits = f"; it waits in queue {context.queue}" if context.queue else ""
    message = f"Job {name} was created with profile {context.spec.compute.profile}{taken}{waits}"
    return ConditionValue("Progressing", "True", CREATED, message)


def _taken(parents: list[Parent]) -> str:
    results = [parent.name for parent in parents if parent.digest]
    left = [parent.name for parent in parents if not parent.digest]
    taken = f", with the result{'s' if len(results) > 1 else ''} of {listed(results)}" if results else ""
    return f"{taken}, continuing {listed(left)} from its checkpoints" if left else taken


def _last_words(context: ReconcileContext, phase: Phase) -> str:
    """Last reported operation of an unreachable pod."""
    stored = condition(context.stored, "Progressing")
    return stored.message if stored is not None and stored.reason == str(phase) else "the pod runs"


def _data_ready(context: ReconcileContext) -> ConditionValue:
    live = context.live if context.mode is Mode.TRAIN else None  # a check has found nothing until it ends
    stored = condition(context.stored, "DataReady")
    if live is not None and live.data:
        return ConditionValue("DataReady", "True", "DataChecked", tidy(live.data))
    if stored is not None and stored.status == "True":
        return ConditionValue("DataReady", "True", stored.reason, stored.message)
    if context.spec.compute.gpus_per_node and context.is_checked:
        return ConditionValue(
            "DataReady", "True", "Validated", "spec, model and data were checked before a GPU was taken"
        )
    if live is not None and live.phase in RUNNING:
        return ConditionValue("DataReady", "True", "DataChecked", "the trainer has checked the data")
    where = "a pod without GPUs checks them" if context.mode is Mode.VALIDATE else "the trainer checks them first"
    return ConditionValue("DataReady", "Unknown", "NotChecked", where)


def _data_at_the_end(stored: Status, end: JobOutcome) -> ConditionValue:
    failure, known = end.failure, condition(stored, "DataReady")
    if failure is not None and (failure.failure_class == FailureClass.DATA or failure.code == DataNotFound.code):
        return ConditionValue("DataReady", "False", failure.code, failure.message)
    if end.termination is not None and end.termination.data:
        return ConditionValue("DataReady", "True", "DataChecked", tidy(end.termination.data))
    if known is not None and known.status == "True":
        return ConditionValue("DataReady", "True", known.reason, known.message)
    if end.phase is not Phase.FAILED:
        return ConditionValue("DataReady", "True", "DataChecked", "the trainer has checked the data")
    return ConditionValue("DataReady", "Unknown", "NotChecked", "")


def _suspended(context: ReconcileContext) -> ConditionValue:
    if not context.is_suspending:
        return ConditionValue("Suspended", "False", "NotSuspended", "")
    if context.running is not None and context.running.deleting:
        return ConditionValue("Suspended", "False", "Suspending", _time_to_save(context.running))
    refused = (
        _hindered(context.snapshot, context.stored) if context.snapshot.refused_writes and not context.is_paused else []
    )
    if refused:
        return ConditionValue("Suspended", "False", REFUSED, refused[0].message)
    if context.running is not None or not context.is_paused:
        return ConditionValue("Suspended", "False", "Suspending", "the child Job is being suspended")
    safe = kept(committed(context))
    ours = context.job is None or not context.job.suspend or context.is_own_suspension
    reason = "Suspended" if ours else HELD  # with which the Job stays suspended once the user lets it go
    return ConditionValue("Suspended", "True", reason, f"no pod runs; {safe}; set runPolicy.suspend: false to resume")


def _result(end: JobOutcome) -> str:
    termination = end.termination
    if termination is None:
        return ""
    place = f"the model is at {termination.artifacts.model}" if termination.artifacts.model else "the run is complete"
    found = termination.evaluation or EvaluationResult()
    missed = [f"{gate.metric} {gate.limit}" for gate in found.gates if not gate.passed]
    gates = f"gates missed: {', '.join(missed)}" if missed else ""
    return tidy("; ".join(part for part in (place, gates, found.remark) if part))


def _dated(snapshot: Snapshot, stored: Status, wanted: list[ConditionValue]) -> list[Condition]:
    return [_condition(snapshot, condition(stored, said.kind), said) for said in wanted]


def _condition(snapshot: Snapshot, before: Condition | None, said: ConditionValue) -> Condition:
    since = before.last_transition_time if before is not None and before.status == said.status else snapshot.now
    return Condition(
        type=said.kind,
        status=said.status,
        observed_generation=snapshot.finetune_job.generation,
        last_transition_time=since,
        reason=said.reason,
        message=said.message,
    )
