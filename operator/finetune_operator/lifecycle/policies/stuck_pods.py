"""Pods stuck in termination: their node or kubelet is gone. Replacement is optional."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import ReconcileContext, is_over
from finetune_operator.lifecycle.messages import clock_text
from finetune_operator.lifecycle.observe.attempts import AttemptHistory, ends_are_recorded
from finetune_operator.lifecycle.policies.sidecars import blocking_containers
from finetune_operator.plan import DeletePod, FailPod
from finetune_operator.records import PodRecord

MARGIN = timedelta(seconds=30)
"""How late a pod may be before anyone is told."""
REPLACED = "ForcedReplacement"
"""Reason of the condition DisruptionTarget of a pod that was replaced by force."""


def stuck_pod(context: ReconcileContext) -> PodRecord | None:
    """The pod past its termination deadline."""
    return next((pod for pod, deadline in _stopping(context) if context.now >= deadline + MARGIN), None)


def stuck_message(context: ReconcileContext, pod: PodRecord) -> str:
    """Message on a stuck pod, with a fix."""
    due = f" by {clock_text(pod.deletion_deadline)}" if pod.deletion_deadline else ""
    seconds = context.spec.run_policy.force_replace_seconds
    if seconds and pod.deletion_deadline:
        then = f"it is replaced by force at {clock_text(pod.deletion_deadline + timedelta(seconds=seconds))}"
    else:
        then = "set runPolicy.forceReplaceSeconds, or delete it with --force --grace-period=0, to continue without it"
    return f"pod {pod.name} should have ended{due}, and node {pod.node} does not say that it has; {then}"


def stuck_check(context: ReconcileContext) -> datetime | None:
    """Time of the next check of a terminating pod."""
    seconds, now = context.spec.run_policy.force_replace_seconds, context.now
    waits = [MARGIN, *([timedelta(seconds=seconds)] if seconds else [])]
    moments = [deadline + wait for _, deadline in _stopping(context) for wait in waits]
    return min((moment for moment in moments if moment > now), default=None)


def replacement(context: ReconcileContext, history: AttemptHistory) -> tuple[FailPod | DeletePod, ...]:
    """Action that replaces a pod after `runPolicy.forceReplaceSeconds`, once its end is recorded."""
    seconds = context.spec.run_policy.force_replace_seconds
    late = [pod for pod, deadline in _stopping(context) if context.now >= deadline + timedelta(seconds=seconds)]
    if seconds and late:
        text = f"the FineTuneJob operator gave it up: {stuck_message(context, late[0])}"
        return (FailPod(late[0].name, late[0].uid, REPLACED, text),)
    if not ends_are_recorded(context, history):
        return ()
    return tuple(DeletePod(pod.name, pod.uid, force=True) for pod in context.pods if _is_given_up(pod))


def _stopping(context: ReconcileContext) -> Iterator[tuple[PodRecord, datetime]]:
    """Terminating pods that have not ended, each with its deadline."""
    for pod in context.pods:
        if pod.deleting and pod.deletion_deadline is not None and (blocking_containers(pod) or not is_over(pod)):
            yield pod, pod.deletion_deadline


def _is_given_up(pod: PodRecord) -> bool:
    disrupted = pod.condition("DisruptionTarget")
    return pod.deleting and not pod.forced and is_over(pod) and disrupted is not None and disrupted.reason == REPLACED
