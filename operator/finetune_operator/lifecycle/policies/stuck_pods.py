"""Pods that should have ended and have not: their node is gone, or its kubelet. Whether to replace them is a choice."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import Case, is_over
from finetune_operator.lifecycle.messages import clock_text
from finetune_operator.lifecycle.observe.attempts import Tally, tells_the_same
from finetune_operator.lifecycle.policies.sidecars import keepers
from finetune_operator.plan import DeletePod, FailPod
from finetune_operator.records import PodRecord

MARGIN = timedelta(seconds=30)
"""How late a pod may be before anyone is told."""
REPLACED = "ForcedReplacement"
"""Reason of the condition DisruptionTarget of a pod that was replaced by force."""


def stuck_pod(case: Case) -> PodRecord | None:
    """The pod that should have ended some time ago."""
    return next((pod for pod, deadline in _stopping(case) if case.world.now >= deadline + MARGIN), None)


def stuck_message(case: Case, pod: PodRecord) -> str:
    """What is wrong and what to do about it."""
    due = f" by {clock_text(pod.deletion_deadline)}" if pod.deletion_deadline else ""
    seconds = case.spec.run_policy.force_replace_seconds
    if seconds and pod.deletion_deadline:
        then = f"it is replaced by force at {clock_text(pod.deletion_deadline + timedelta(seconds=seconds))}"
    else:
        then = "set runPolicy.forceReplaceSeconds, or delete it with --force --grace-period=0, to go on without it"
    return f"pod {pod.name} should have ended{due}, and node {pod.node} does not say that it has; {then}"


def stuck_check(case: Case) -> datetime | None:
    """When to look again at a pod that is asked to end."""
    seconds, now = case.spec.run_policy.force_replace_seconds, case.world.now
    waits = [MARGIN, *([timedelta(seconds=seconds)] if seconds else [])]
    moments = [deadline + wait for _, deadline in _stopping(case) for wait in waits]
    return min((moment for moment in moments if moment > now), default=None)


def replacement(case: Case, now: Tally) -> tuple[FailPod | DeletePod, ...]:
    """Replace by force what `runPolicy.forceReplaceSeconds` says; the pod itself goes once its end is told."""
    seconds = case.spec.run_policy.force_replace_seconds
    late = [pod for pod, deadline in _stopping(case) if case.world.now >= deadline + timedelta(seconds=seconds)]
    if seconds and late:
        text = f"the FineTuneJob operator gave it up: {stuck_message(case, late[0])}"
        return (FailPod(late[0].name, late[0].uid, REPLACED, text),)
    if not tells_the_same(case, now):
        return ()
    return tuple(DeletePod(pod.name, pod.uid, force=True) for pod in case.pods if _is_given_up(pod))


def _stopping(case: Case) -> Iterator[tuple[PodRecord, datetime]]:
    """Pods that were asked to end and have not, and by when they should have."""
    for pod in case.pods:
        if pod.deleting and pod.deletion_deadline is not None and (keepers(pod) or not is_over(pod)):
            yield pod, pod.deletion_deadline


def _is_given_up(pod: PodRecord) -> bool:
    disrupted = pod.condition("DisruptionTarget")
    return pod.deleting and not pod.forced and is_over(pod) and disrupted is not None and disrupted.reason == REPLACED
