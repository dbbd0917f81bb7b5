"""Outcome of a pod: termination message, then kubelet status, then exit code. All untrusted."""

import signal
from dataclasses import dataclass

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import (
    EXIT_CODE,
    RETRIED,
    ContainerCrashed,
    DataNotFound,
    DataUnreadable,
    InitContainerFailed,
    InternalError,
    JobFailure,
    LossDiverged,
    NodeRefusedPod,
    OutOfMemory,
    OutputNotWritable,
    PermissionDenied,
    PodLost,
    SpecInvalid,
    StorageUnavailable,
    TrainerHung,
)
from finetune_api.outcome import FailureInfo, Outcome
from finetune_api.run_file import Mode
from finetune_api.termination import Termination
from finetune_operator.lifecycle.messages import failure_info, tidy, trusted
from finetune_operator.records import ContainerRecord, ContainerState, OtherContainer, PodRecord

SUCCEEDED, GATE_FAILED = "Succeeded", "GateFailed"
PREEMPTED, STOPPED, FENCED, SUSPENDED, LOST = "Preempted", "Stopped", "Fenced", "Suspended", "Lost"
NODE_REFUSED = NodeRefusedPod.code
INTERRUPTIONS = frozenset({PREEMPTED, STOPPED, FENCED, NODE_REFUSED})
"""Reasons that count against `runPolicy.maxPreemptions`: nobody's failure, but not for ever."""
UNCOUNTED = frozenset({SUCCEEDED, GATE_FAILED, SUSPENDED, ""})
"""Reasons that count against nothing."""

_GENERAL: tuple[type[JobFailure], ...] = (
    SpecInvalid,
    DataUnreadable,
    DataNotFound,
    InternalError,
    OutOfMemory,
    LossDiverged,
    OutputNotWritable,
    StorageUnavailable,
    PermissionDenied,
)
"""The most general failure of each class that a trainer can end with."""
_BY_EXIT_CODE: dict[int, type[JobFailure]] = {
    **{EXIT_CODE[failure.failure_class]: failure for failure in _GENERAL},
    ExitCode.HUNG: TrainerHung,
}
"""What an exit code stands for where the container left no termination message."""
_NODE_REFUSES = frozenset(
    {"UnexpectedAdmissionError", "NodeAffinity", "TopologyAffinityError", "NodePorts", "InvalidNodeInfo",
     "PodOSNotSupported", "PodOSSelectorNodeLabelDoesNotMatch", "AppArmor", "Sysctl"}
)  # fmt: skip
"""Reasons of pods that a kubelet would not have, beside `OutOf<resource>`: nothing of them ran."""
_NODE_ENDS = frozenset({"Terminated", "Shutdown", "NodeShutdown", "NodeLost", "Preempting"})
"""Reasons of pods that ended with their node, or made room there. Newer kubelets say so by DisruptionTarget."""
_KILLED = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
_MEMORY_HINT = (
    "lower training.perDeviceBatchSize or data.maxLength, set training.activationCheckpointing: true, "
    "or choose a compute profile with more memory"
)


@dataclass(frozen=True)
class PodOutcome:
    """Outcome of a pod."""

    reason: str
    """As in `Attempt.reason`."""
    exit_code: int | None = None
    termination: Termination | None = None
    """Its own words, where they are valid and of this job."""
    failure: FailureInfo | None = None
    """Why it failed; `reason` is then its code."""

    @property
    def is_final(self) -> bool:
        """Whether another attempt would fail in the same way."""
        return self.failure is not None and self.failure.failure_class not in RETRIED


def pod_outcome(pod: PodRecord, finetune_job_uid: str, mode: Mode, *, asked: str = "") -> PodOutcome | None:
    """Outcome of `pod`; None while it runs or waits.

    `asked` is what the end is called if someone asked for it: Suspended by the user, Preempted by Kueue.
    """
    container = pod.container
    if container is None or container.state is not ContainerState.TERMINATED:
        return _without_container(pod, asked) if pod.phase in ("Failed", "Succeeded") else None
    termination = Termination.decode(container.message)
    termination = termination if termination is not None and termination.uid == finetune_job_uid else None
    finished = _finished(container, termination, mode)
    if finished is not None:
        return finished
    return _unfinished(pod, container, termination, asked)


def failure_by_exit_code(code: int) -> type[JobFailure] | None:
    """The failure that an exit code of the trainer stands for, without a message."""
    return _BY_EXIT_CODE.get(code)


def _finished(container: ContainerRecord, termination: Termination | None, mode: Mode) -> PodOutcome | None:
    code = container.exit_code
    if code == ExitCode.GATE_FAILED and mode is Mode.TRAIN:
        return PodOutcome(GATE_FAILED, code, termination)
    if code != ExitCode.DONE:
        return None
    if mode is Mode.VALIDATE or (
        termination is not None and termination.outcome is Outcome.SUCCEEDED and termination.artifacts.digest
    ):
        return PodOutcome(SUCCEEDED, code, termination)
    message = "the trainer ended with exit code 0 but reported no result that it had read back"
    return _failed(
        failure_info(ContainerCrashed, message, "read the pod's log; another attempt is made"), code, termination
    )


def _unfinished(pod: PodRecord, container: ContainerRecord, termination: Termination | None, asked: str) -> PodOutcome:
    code = container.exit_code
    own = (
        trusted(termination.failure)
        if termination is not None and termination.outcome is Outcome.FAILED and termination.failure
        else None
    )
    if own is not None and own.failure_class not in RETRIED:
        return _failed(own, code, termination)
    if asked and (pod.deleting or _stopped(code)):
        return PodOutcome(asked, code, termination)
    if _is_disrupted(pod):
        return PodOutcome(PREEMPTED, code, termination)
    if code == ExitCode.FENCED:
        return PodOutcome(FENCED, code, termination)
    if _stopped(code):
        return PodOutcome(STOPPED, code, termination)
    return _failed(own or _guessed(pod, container), code, termination)


def _stopped(code: int | None) -> bool:
    return code in (ExitCode.STOPPED, ExitCode.INTERRUPTED)


def _failed(failure: FailureInfo, code: int | None, termination: Termination | None) -> PodOutcome:
    return PodOutcome(failure.code, code, termination, failure)


def _without_container(pod: PodRecord, asked: str) -> PodOutcome:
    """Outcome of a pod without a container status."""
    if asked:
        return PodOutcome(asked)
    if _is_disrupted(pod):
        return PodOutcome(PREEMPTED)
    if node_refuses(pod):
        return PodOutcome(NODE_REFUSED)
    broken = next((it for it in pod.others if it.is_init and it.container.state is ContainerState.TERMINATED), None)
    if broken is not None:
        return _failed(_init_failure(pod, broken), None, None)
    if pod.reason:
        return _failed(_ended_by_kubelet(pod), None, None)
    return PodOutcome(LOST, failure=failure_info(PodLost, f"pod {pod.name} ended without saying how"))


def _is_disrupted(pod: PodRecord) -> bool:
    """Whether Kubernetes, not the run, ended the pod (DisruptionTarget)."""
    disruption = pod.condition("DisruptionTarget")
    return (disruption is not None and disruption.status == "True") or pod.reason in _NODE_ENDS


def node_refuses(pod: PodRecord) -> bool:
    """Whether the node rejected the pod at admission: resources expected by the scheduler were missing."""
    return pod.phase == "Failed" and (pod.reason in _NODE_REFUSES or pod.reason.startswith("OutOf"))


def refused_by_node(pod: PodRecord) -> str:
    """Message of the node."""
    why = f": {tidy(pod.message, 300)}" if pod.message else ""
    return f"node {pod.node or '(none)'} could not give pod {pod.name} what it asks for ({pod.reason}){why}"


def node_refusal(pod: PodRecord, more: str = "") -> FailureInfo:
    """`NodeRefusedPod` with the node's message and `more` after it."""
    return failure_info(NodeRefusedPod, refused_by_node(pod) + more, "look at the node's GPUs and their device plug-in")


def _init_failure(pod: PodRecord, broken: OtherContainer) -> FailureInfo:
    """Failure of an injected init container: the trainer never started."""
    ended = broken.container
    why = _code_text(ended.exit_code) + (f" ({ended.reason})" if ended.reason not in ("", "Error") else "")
    message = f"init container {broken.name} of pod {pod.name} ended with {why}{_last_line(ended.message)}"
    hint = f"kubectl logs {pod.name} -c {broken.name} has more; it is not the trainer's: who adds it to pods here?"
    return failure_info(InitContainerFailed, message, hint)


def _guessed(pod: PodRecord, container: ContainerRecord) -> FailureInfo:
    """Probable reason of a container failure without a message."""
    code = container.exit_code
    if container.reason == "OOMKilled":
        return failure_info(OutOfMemory, "the container used more memory than its profile allows", _MEMORY_HINT)
    if pod.reason:
        return _ended_by_kubelet(pod)
    logs = f"kubectl logs {pod.name} has more"
    last = _last_line(container.message)
    if code in _BY_EXIT_CODE:
        return failure_info(_BY_EXIT_CODE[code], f"the trainer ended with exit code {code}{last}", logs)
    return failure_info(ContainerCrashed, f"the container ended with {_code_text(code)}{last}", logs)


def _ended_by_kubelet(pod: PodRecord) -> FailureInfo:
    """Failure by the kubelet's reason: evicted, refused by the node, and the like."""
    message = f"the kubelet ended the pod ({pod.reason})" + (f": {tidy(pod.message, 300)}" if pod.message else "")
    return failure_info(ContainerCrashed, message, "choose a compute profile with more memory or scratch space")


def _code_text(code: int | None) -> str:
    if code is None:
        return "no exit code"
    if code > 128 and code - 128 in set(signal.Signals):
        return f"exit code {code} ({signal.Signals(code - 128).name})"
    return f"exit code {code}"


def _last_line(log: str) -> str:
    """Last log line, which Kubernetes provides without a message."""
    lines = [line for line in map(tidy, log.splitlines()) if line]
    return f": {tidy(lines[-1], 200)}" if lines and not lines[-1].startswith("{") else ""
