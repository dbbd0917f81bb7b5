"""Checkpoints: what the trainer has committed, as the status shows it, and requests for one more."""

from finetune_api.pod import CHECKPOINT_ANNOTATION
from finetune_api.run_file import Mode
from finetune_api.status import CheckpointInfo
from finetune_operator.lifecycle.context import Case
from finetune_operator.lifecycle.messages import tidy
from finetune_operator.lifecycle.observe.pod_outcome import ending_of
from finetune_operator.plan import AskForCheckpoint
from finetune_operator.records import PodRecord

NEWEST = 16
"""Checkpoints that a status holds."""
REQUEST_LENGTH = 128
"""Longest request, in characters."""


def committed(case: Case, told: list[CheckpointInfo] | None = None) -> list[CheckpointInfo]:
    """The newest checkpoints, oldest first: those that the trainer tells of, and the last words of pods that ended.

    `told` is what it tells of while it runs; left out, it is what the stored status shows.
    """
    known = told or case.stored.checkpoints
    by_step = {info.step: _tidied(info) for info in (*known, *_last_words(case))}
    return [by_step[step] for step in sorted(by_step)][-NEWEST:]


def kept(checkpoints: list[CheckpointInfo]) -> str:
    """What is safe, in words."""
    return f"step {checkpoints[-1].step} is in a checkpoint" if checkpoints else "there is no checkpoint yet"


def request_problem(case: Case) -> str:
    """Why the request for a checkpoint is ignored; empty where it is not, or where there is none."""
    length = len(case.world.tune.annotations.get(CHECKPOINT_ANNOTATION, ""))
    if length <= REQUEST_LENGTH:
        return ""
    return f"annotation {CHECKPOINT_ANNOTATION} is ignored: it has {length} characters, at most {REQUEST_LENGTH} fit"


def request(case: Case) -> tuple[AskForCheckpoint, ...]:
    """Hand a request that the trainer has not carried out to the pod that runs."""
    wanted, pod, live = case.world.tune.annotations.get(CHECKPOINT_ANNOTATION, ""), case.running, case.live
    if not wanted or request_problem(case) or case.mode is not Mode.TRAIN or pod is None or pod.deleting:
        return ()
    known = {case.stored.checkpoint_request, pod.checkpoint_request, live.checkpoint_request if live else ""}
    return () if wanted in known else (AskForCheckpoint(pod.name, pod.uid, wanted),)


def _last_words(case: Case) -> list[CheckpointInfo]:
    """Checkpoints of attempts whose end the stored status does not tell yet; older ones may be gone again."""
    told = {attempt.pod for attempt in case.stored.attempts if attempt.reason}
    found = [_last(case, pod) for pod in case.pods if pod.name not in told]
    return [info for info in found if info is not None]


def _last(case: Case, pod: PodRecord) -> CheckpointInfo | None:
    ending = ending_of(pod, case.world.tune.uid, case.mode)
    said = ending.termination if ending is not None else None
    return said.checkpoint if said is not None else None


def _tidied(info: CheckpointInfo) -> CheckpointInfo:
    return info if info.uri.isprintable() else info.model_copy(update={"uri": tidy(info.uri, len(info.uri))})
