"""Reachability of running trainers for polls: reported, without effect on the run."""

from datetime import datetime, timedelta

from finetune_api.pod import PORT
from finetune_operator.lifecycle.context import ReconcileContext
from finetune_operator.lifecycle.messages import tidy
from finetune_operator.plan import UnansweredPolls

UNREACHABLE = "TrainerUnreachable"
"""Reason of the condition Progressing while nobody can tell how the run goes."""
_QUESTIONS, _PATIENCE = 3, timedelta(seconds=60)


def is_reportable(unanswered: UnansweredPolls, now: datetime) -> bool:
    """Whether it has lasted long enough to report: a busy trainer may miss a poll or two."""
    return unanswered.questions >= _QUESTIONS and now - unanswered.since >= _PATIENCE


def unreachable(context: ReconcileContext) -> str:
    """Problem of an unreachable running pod; empty where reachable, or only briefly not."""
    pod, unanswered = context.running, context.snapshot.unanswered
    if pod is None or unanswered is None or unanswered.pod_uid != pod.uid or not is_reportable(unanswered, context.now):
        return ""
    return tidy(
        f"pod {pod.name} runs but can't be asked for its progress ({unanswered.why}): does a NetworkPolicy or a mesh "
        f"keep the operator from port {PORT} of its address? The run continues; stalls are not detected"
    )
