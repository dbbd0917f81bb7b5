"""Committed checkpoints in the status, and requests for one more."""

from finetune_api.pod import CHECKPOINT_ANNOTATION
from finetune_api.run_file import Mode
from finetune_api.status import CheckpointInfo
from finetune_operator.lifecycle.context import ReconcileContext
from finetune_operator.lifecycle.messages import tidy
from finetune_operator.lifecycle.observe.pod_outcome import pod_outcome
from finetune_operator.plan import AskForCheckpoint
from finetune_operator.records import PodRecord

NEWEST = 16
"""Checkpoints that a status holds."""
REQUEST_LENGTH = 128
"""Longest request, in characters."""


def committed(context: ReconcileContext, reported: list[CheckpointInfo] | None = None) -> list[CheckpointInfo]:
    """The newest checkpoints, oldest first: reported ones, and those in termination messages.

    `reported` is what it tells of while it runs; left out, it is what the stored status shows.
    """
    known = reported or context.stored.checkpoints
    by_step = {info.step: _tidied(info) for info in (*known, *_last_words(context))}
    return [by_step[step] for step in sorted(by_step)][-NEWEST:]


def kept(checkpoints: list[CheckpointInfo]) -> str:
    """Text on the newest committed checkpoint."""
    return f"step {checkpoints[-1].step} is in a checkpoint" if checkpoints else "there is no checkpoint yet"


def request_problem(context: ReconcileContext) -> str:
    """Reason that a checkpoint request is ignored; empty where it is not, or without one."""
    length = len(context.finetune_job.annotations.get(CHECKPOINT_ANNOTATION, ""))
    if length <= REQUEST_LENGTH:
        return ""
    return f"annotation {CHECKPOINT_ANNOTATION} is ignored: it has {length} characters, at most {REQUEST_LENGTH} fit"


def request(context: ReconcileContext) -> tuple[AskForCheckpoint, ...]:
    """Pass an open checkpoint request to the running pod."""
    wanted, pod, live = (
        context.finetune_job.annotations.get(CHECKPOINT_ANNOTATION, ""),
        context.running,
        context.live,
    )
    if not wanted or request_problem(context) or context.mode is not Mode.TRAIN or pod is None or pod.deleting:
        return ()
    known = {context.stored.checkpoint_request, pod.checkpoint_request, live.checkpoint_request if live else ""}
    return () if wanted in known else (AskForCheckpoint(pod.name, pod.uid, wanted),)


def _last_words(context: ReconcileContext) -> list[CheckpointInfo]:
    """Checkpoints of attempts whose end the status lacks; older ones may be deleted already."""
    reported = {attempt.pod for attempt in context.stored.attempts if attempt.reason}
    found = [_last(context, pod) for pod in context.pods if pod.name not in reported]
    return [info for info in found if info is not None]


def _last(context: ReconcileContext, pod: PodRecord) -> CheckpointInfo | None:
    outcome = pod_outcome(pod, context.finetune_job.uid, context.mode)
    termination = outcome.termination if outcome is not None else None
    return termination.checkpoint if termination is not None else None


def _tidied(info: CheckpointInfo) -> CheckpointInfo:
    return info if info.uri.isprintable() else info.model_copy(update={"uri": tidy(info.uri, len(info.uri))})
