"""The conditions: eight are always there, so that nobody has to guess what a missing one means.

The ninth, PodStuckTerminating, comes with the first pod that does not end when it should.
"""

from datetime import timedelta
from typing import Literal, NamedTuple

from finetune_api.failures import DataNotFound, FailureClass, InitContainerFailed, JobFailure
from finetune_api.outcome import EvaluationResult
from finetune_api.run_file import Mode
from finetune_api.status import Attempt, Condition, Phase, Status
from finetune_operator.lifecycle.context import RUNNING, Case, condition
from finetune_operator.lifecycle.decide.job_outcome import NOT_CREATED, Verdict
from finetune_operator.lifecycle.messages import clock_text, listed, sentence, tidy, told
from finetune_operator.lifecycle.observe.attempts import Tally, last_failure
from finetune_operator.lifecycle.observe.checkpoints import committed, kept, request_problem
from finetune_operator.lifecycle.observe.dependencies import MISSING, awaited
from finetune_operator.lifecycle.observe.pod_outcome import INTERRUPTIONS, NODE_REFUSED, UNCOUNTED, refused_by_node
from finetune_operator.lifecycle.observe.progress import doing
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE, unreachable
from finetune_operator.lifecycle.policies.lookups import found
from finetune_operator.lifecycle.policies.start_deadline import waiting
from finetune_operator.lifecycle.policies.stuck_pods import stuck_message, stuck_pod
from finetune_operator.plan import QueueState, World
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


class Said(NamedTuple):
    """What a condition should say."""

    kind: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


_ACCEPTED = Said("Accepted", "True", "SpecAccepted", "this version can run the spec")
REFUSED = "WriteRefused"
"""Type of the condition that is True while the API server refuses something else than the creation of a Job."""
STUCK = "PodStuckTerminating"
"""Type of the condition that is True while a pod does not end when it should."""


def ongoing(case: Case, now: Tally, phase: Phase, creating: str) -> list[Condition]:
    """Conditions of a job that goes on; `creating` names the child Job that is about to be created."""
    pod = case.running
    name = f"pod {pod.name} on node {pod.node}" if pod is not None else ""
    idle = "Suspended" if case.is_paused else "Queued" if phase is Phase.QUEUED else "NotStarted"
    return _dated(
        case.world,
        case.stored,
        [
            _accepted(case),
            _data_ready(case),
            Said("Running", "True", "PodRunning", name) if pod else Said("Running", "False", idle, ""),
            _progressing(case, now, phase, creating),
            _suspended(case),
            Said("Succeeded", "Unknown", "NotFinished", ""),
            Said("Failed", "False", "NotFinished", ""),
            Said("Finished", "False", "NotFinished", ""),
            *_stuck(case),
            *_hindered(case.world, case.stored),
        ],
    )


def finished(world: World, stored: Status, end: Verdict, *, accepted: bool = True) -> list[Condition]:
    """Conditions of a job that has ended; `accepted` says that its spec could run."""
    failure, won = end.failure, end.phase is Phase.SUCCEEDED
    reason = failure.code if failure is not None else str(end.phase)
    message = sentence(failure) if failure is not None else _result(end)
    return _dated(
        world,
        stored,
        [
            _ACCEPTED if accepted else Said("Accepted", "False", reason, message),
            _data_at_the_end(stored, end),
            Said("Running", "False", reason, ""),
            Said("Progressing", "False", reason, ""),
            Said("Suspended", "False", "Finished", ""),
            Said("Succeeded", "True" if won else "False", reason, message),
            Said("Failed", "False" if won else "True", reason, message),
            Said("Finished", "True", str(end.phase), message),
            *([Said(STUCK, "False", "Finished", "")] if condition(stored, STUCK) is not None else []),
            *_hindered(world, stored),
        ],
    )


def held(world: World, stored: Status, failure: JobFailure) -> list[Condition]:
    """Conditions of a job that has begun and can't go on as it is; what is known of it otherwise stays."""
    message = sentence(told(failure))
    said = [
        Said("Accepted", "Unknown", failure.code, message),
        Said("Progressing", "False", failure.code, tidy(f"the job has begun and is not ended for it; {message}")),
    ]
    kinds = {one.kind for one in said}
    return [*_dated(world, stored, said), *(known for known in stored.conditions if known.type not in kinds)]


def _accepted(case: Case) -> Said:
    if case.unread:
        text = f"this version of the operator can't read the spec ({case.unread}); the job goes on as it was ordered"
        return Said("Accepted", "Unknown", UNREADABLE, tidy(f"{text}, by the run file of its Job"))
    ignored = request_problem(case) or unknown_problem(case) or idle_gpus(case)
    return _ACCEPTED._replace(message=f"{_ACCEPTED.message}; {ignored}") if ignored else _ACCEPTED


def idle_gpus(case: Case) -> str:
    """What is odd where a job takes a profile with GPUs and none of them; empty where it isn't."""
    name = case.spec.compute.profile
    profile = case.world.settings.profiles.get(name)
    if profile is None or not profile.max_gpus_per_node or case.spec.compute.gpus_per_node:
        return ""
    return f"profile {name} has GPUs and the job takes none: it trains on the CPU; set compute.gpusPerNode: 1 for a GPU"


def unknown_problem(case: Case) -> str:
    """Which fields of the spec this version leaves out since it does not know them; empty where there are none."""
    if not case.ignored:
        return ""
    return f"{listed(case.ignored)} left out: this version of the operator does not know what a newer CRD lets through"


def after_the_end(world: World, stored: Status) -> list[Condition]:
    """Conditions of a job that had ended: what is refused of the clean-up is told, the rest stays."""
    said = _dated(world, stored, _hindered(world, stored))
    before = condition(stored, REFUSED)
    if not said or (before is not None and (before.status, before.message) == (said[0].status, said[0].message)):
        return stored.conditions
    return [*(known for known in stored.conditions if known.type != REFUSED), *said]


def _hindered(world: World, stored: Status) -> list[Said]:
    """Whether the API server refuses what the operator does to pods and Jobs."""
    if world.hindered:
        texts = [f"the API server refuses to {it.what} ({it.code}): {it.message}" for it in world.hindered]
        return [Said(REFUSED, "True", "RefusedByApiServer", tidy(listed(texts, between="; ")))]
    return [Said(REFUSED, "False", "Done", "")] if condition(stored, REFUSED) is not None else []


def _stuck(case: Case) -> list[Said]:
    pod, before = stuck_pod(case), condition(case.stored, STUCK)
    if pod is not None:
        return [Said(STUCK, "True", "NodeSilent", tidy(stuck_message(case, pod)))]
    return [Said(STUCK, "False", "PodEnded", "")] if before is not None else []


def _progressing(case: Case, now: Tally, phase: Phase, creating: str) -> Said:
    kind, refusal = "Progressing", case.world.refusal
    if case.is_paused:
        return Said(kind, "Unknown", "Suspended", "waits for runPolicy.suspend: false")
    wait = awaited(case)
    if wait is not None:
        return Said(kind, "False" if wait.reason == MISSING else "True", wait.reason, tidy(wait.message))
    if case.job is None and refusal is not None:
        text = tidy(f"the API server refused the child Job ({refusal.code}): {refusal.message}")
        return Said(kind, "False", NOT_CREATED, text)
    if creating:
        return _created(case, creating)
    if phase is Phase.QUEUED:
        return _queued(case)
    if case.running is not None:
        return _running(case, case.running, phase)
    return _starting(case, now)


def _running(case: Case, pod: PodRecord, phase: Phase) -> Said:
    if pod.deleting:
        return Said("Progressing", "True", STOPPING, _time_to_save(pod))
    if text := unreachable(case):
        return Said("Progressing", "Unknown", UNREACHABLE, text)
    live = case.live
    return Said("Progressing", "True", str(phase), doing(live, case.mode) if live else _last_words(case, phase))


def _queued(case: Case) -> Said:
    """What a Job waits for that somebody else has suspended."""
    job, queue = case.job, case.queue or (case.job.queue if case.job is not None else "")
    known = found(case)
    if known is not None and known.queue in _QUEUE_PROBLEMS:
        return Said("Progressing", "False", NO_QUEUE, _no_queue(case, queue, known.queue))
    if queue:
        return Said("Progressing", "True", "Queued", f"waits in queue {queue}")
    who = f"by {job.suspender}, " if job is not None and job.suspender else ""
    name = job.name if job is not None else ""
    text = f"Job {name} is suspended, {who}not for runPolicy.suspend, and waits until that ends"
    remedy = "if Kueue manages Jobs without a queue here, name a LocalQueue in compute.queue of a new job"
    return Said("Progressing", "False", HELD, f"{text}; {remedy}")


def _no_queue(case: Case, queue: str, state: QueueState) -> str:
    namespace = case.world.tune.namespace
    what, remedy = _QUEUE_PROBLEMS[state]
    text = f"waits in queue {queue} of namespace {namespace}, and {what}: {remedy}"
    return f"{text}; or create the job anew without compute.queue"


def _starting(case: Case, now: Tally) -> Said:
    """The job has no running pod: what it waits for, once that takes longer than usual."""
    kind, wait, last = "Progressing", waiting(case), now.last
    stored = condition(case.stored, kind)
    if wait is not None and wait.is_blocked:
        return Said(kind, "False", wait.failure.code, tidy(wait.message))
    if last is not None and last.reason not in UNCOUNTED and (case.pod is None or case.pod.name == last.pod):
        return Said(kind, "True", RETRYING, _what_follows(case, now, last))
    if wait is not None and case.world.now >= wait.since + PATIENCE:
        return Said(kind, "True", POD_STARTING, tidy(wait.message))
    if stored is not None and stored.reason == "Suspended":
        return Said(kind, "True", RESUMED, "resumed; waits for its pod")
    if stored is not None and stored.reason in {CREATED, RETRYING, RESUMED, POD_STARTING}:
        return Said(kind, "True", stored.reason, stored.message)
    if stored is None and case.job is not None:  # created, but not told yet
        return _created(case, case.job.name)
    return Said(kind, "True", POD_STARTING, "waits for its pod")


def _what_follows(case: Case, now: Tally, last: Attempt) -> str:
    pod = case.pod
    if last.reason == NODE_REFUSED and pod is not None and pod.name == last.pod:
        return tidy(f"{refused_by_node(pod)}; another one follows")
    cause = "was interrupted" if last.reason in INTERRUPTIONS else "failed"
    if last.reason == InitContainerFailed.code:
        return tidy(f"attempt {last.number} did not start: {last_failure(case, now).message}; the next one follows")
    safe = committed(case)
    follows = f"the next one goes on from step {safe[-1].step}" if safe else "the next one follows"
    return f"attempt {last.number} {cause} ({last.reason}); {follows}"


def _time_to_save(pod: PodRecord) -> str:
    until = f" until {clock_text(pod.deletion_deadline)}" if pod.deletion_deadline is not None else " time"
    return f"pod {pod.name} was asked to end and has{until} to save a checkpoint"


def _created(case: Case, name: str) -> Said:
    parents = [parent.name for parent in case.stored.parents]
    taken = f", with the result{'s' if len(parents) > 1 else ''} of {listed(parents)}" if parents else ""
    waits = f"; it waits in queue {case.queue}" if case.queue else ""
    message = f"Job {name} was created with profile {case.spec.compute.profile}{taken}{waits}"
    return Said("Progressing", "True", CREATED, message)


def _last_words(case: Case, phase: Phase) -> str:
    """What a pod was at that can't be asked now."""
    stored = condition(case.stored, "Progressing")
    return stored.message if stored is not None and stored.reason == str(phase) else "the pod runs"


def _data_ready(case: Case) -> Said:
    live = case.live if case.mode is Mode.TRAIN else None  # a check has found nothing until it ends
    stored = condition(case.stored, "DataReady")
    if live is not None and live.data:
        return Said("DataReady", "True", "DataChecked", tidy(live.data))
    if stored is not None and stored.status == "True":
        return Said("DataReady", "True", stored.reason, stored.message)
    if case.spec.compute.gpus_per_node and case.is_checked:
        return Said("DataReady", "True", "Validated", "spec, model and data were checked before a GPU was taken")
    if live is not None and live.phase in RUNNING:
        return Said("DataReady", "True", "DataChecked", "the trainer has checked the data")
    where = "a pod without GPUs checks them" if case.mode is Mode.VALIDATE else "the trainer checks them first"
    return Said("DataReady", "Unknown", "NotChecked", where)


def _data_at_the_end(stored: Status, end: Verdict) -> Said:
    failure, known = end.failure, condition(stored, "DataReady")
    if failure is not None and (failure.failure_class == FailureClass.DATA or failure.code == DataNotFound.code):
        return Said("DataReady", "False", failure.code, failure.message)
    if end.said is not None and end.said.data:
        return Said("DataReady", "True", "DataChecked", tidy(end.said.data))
    if known is not None and known.status == "True":
        return Said("DataReady", "True", known.reason, known.message)
    if end.phase is not Phase.FAILED:
        return Said("DataReady", "True", "DataChecked", "the trainer has checked the data")
    return Said("DataReady", "Unknown", "NotChecked", "")


def _suspended(case: Case) -> Said:
    if not case.is_suspending:
        return Said("Suspended", "False", "NotSuspended", "")
    if case.running is not None and case.running.deleting:
        return Said("Suspended", "False", "Suspending", _time_to_save(case.running))
    refused = _hindered(case.world, case.stored) if case.world.hindered and not case.is_paused else []
    if refused:
        return Said("Suspended", "False", REFUSED, refused[0].message)
    if case.running is not None or not case.is_paused:
        return Said("Suspended", "False", "Suspending", "the child Job is being suspended")
    safe = kept(committed(case))
    ours = case.job is None or not case.job.suspend or case.is_own_suspension
    reason = "Suspended" if ours else HELD  # with which the Job stays suspended once the user lets it go
    return Said("Suspended", "True", reason, f"no pod runs; {safe}; set runPolicy.suspend: false to go on")


def _result(end: Verdict) -> str:
    said = end.said
    if said is None:
        return ""
    place = f"the model is at {said.artifacts.model}" if said.artifacts.model else "the run is complete"
    found = said.evaluation or EvaluationResult()
    missed = [f"{gate.metric} {gate.limit}" for gate in found.gates if not gate.passed]
    gates = f"gates missed: {', '.join(missed)}" if missed else ""
    return tidy("; ".join(part for part in (place, gates, found.remark) if part))


def _dated(world: World, stored: Status, wanted: list[Said]) -> list[Condition]:
    return [_condition(world, condition(stored, said.kind), said) for said in wanted]


def _condition(world: World, before: Condition | None, said: Said) -> Condition:
    since = before.last_transition_time if before is not None and before.status == said.status else world.now
    return Condition(
        type=said.kind,
        status=said.status,
        observed_generation=world.tune.generation,
        last_transition_time=since,
        reason=said.reason,
        message=said.message,
    )
