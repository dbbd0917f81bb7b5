"""Events from the difference of two statuses.

They are made from the statuses alone, so a repeated reconcile tells nothing twice.
"""

from collections.abc import Iterator

from finetune_api.status import Attempt, Condition, Phase, Status
from finetune_operator.lifecycle.context import RUNNING, TERMINAL, condition
from finetune_operator.lifecycle.messages import tidy
from finetune_operator.lifecycle.observe.checkpoints import kept
from finetune_operator.lifecycle.observe.dependencies import FINISHED, NOT_FINISHED
from finetune_operator.lifecycle.observe.pod_outcome import INTERRUPTIONS, NODE_REFUSED, UNCOUNTED
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE
from finetune_operator.lifecycle.report.conditions import CREATED, REFUSED, STUCK
from finetune_operator.plan import Event, EventType

SAVED, GOES_ON = "CheckpointSaved", "ResumedFromCheckpoint"


def event_diff(old: Status, new: Status) -> tuple[Event, ...]:
    """Events between `old` and `new`, in chronological order."""
    if old.phase in TERMINAL:
        return ()
    parts = (_begun, _asked, _attempts, _stuck, _paused, _trained, _saved, _ended)
    return tuple(event for part in parts for event in part(old, new))


def _normal(reason: str, message: str) -> Event:
    return Event(EventType.NORMAL, reason, message)


def _warning(reason: str, message: str) -> Event:
    return Event(EventType.WARNING, reason, message)


def _begun(old: Status, new: Status) -> Iterator[Event]:
    was, now = condition(old, "Progressing"), condition(new, "Progressing")
    accepted = _status(condition(new, "Accepted")) == "True" and _status(condition(old, "Accepted")) != "True"
    created = now is not None and now.reason == CREATED and _reason(was) != CREATED
    data, before = condition(new, "DataReady"), condition(old, "DataReady")
    if data is not None and data.reason == "Validated" and _reason(before) != data.reason:
        yield _normal("Validated", data.message)
    if accepted:
        yield _normal("Accepted", now.message if created and now is not None else "this version can run the spec")
    elif created and now is not None:
        yield _normal(CREATED, now.message)
    is_bad = now is not None and (now.status == "False" or now.reason == UNREACHABLE)
    if now is not None and is_bad and new.phase not in TERMINAL and _reason(was) != now.reason:
        yield _warning(now.reason, now.message)


def _asked(old: Status, new: Status) -> Iterator[Event]:
    """Events on requests of users and on results of dependencies."""
    accepted, before = condition(new, "Accepted"), condition(old, "Accepted")
    ignored = _ignored(accepted)
    if ignored and ignored != _ignored(before):
        kinds = {"annotation": "CheckpointRequestIgnored", "profile": "GPUsNotTaken"}
        reason = kinds.get(ignored.partition(" ")[0], "FieldsIgnored")
        yield _warning(reason, ignored)
    if _status(accepted) == "Unknown" and _status(before) != "Unknown" and accepted is not None:
        yield _warning(accepted.reason, accepted.message)
    now = condition(new, "Progressing")
    if now is not None and now.reason == NOT_FINISHED and _reason(condition(old, "Progressing")) != NOT_FINISHED:
        yield _normal(NOT_FINISHED, now.message)
    held = {parent.name for parent in old.parents}
    for parent in new.parents:
        if parent.name not in held:
            taken = f"the result of FineTuneJob {parent.name}, {parent.digest}"
            left = f"the checkpoints that FineTuneJob {parent.name} has left in {parent.output}"
            yield _normal(FINISHED, f"takes {taken if parent.digest else left}")


def _ignored(accepted: Condition | None) -> str:
    return accepted.message.partition("; ")[2] if accepted is not None and accepted.status == "True" else ""


def _stuck(old: Status, new: Status) -> Iterator[Event]:
    for kind in (STUCK, REFUSED):
        now = condition(new, kind)
        if now is not None and now.status == "True" and _status(condition(old, kind)) != "True":
            yield _warning(kind, now.message)


def _saved(old: Status, new: Status) -> Iterator[Event]:
    """Events on the first checkpoint and on requested ones; others are in the status only."""
    if new.phase in TERMINAL or not new.checkpoints:
        return
    newest = new.checkpoints[-1]
    if new.checkpoint_request != old.checkpoint_request:
        yield _normal(SAVED, f"step {newest.step} is in a checkpoint, as asked: {tidy(new.checkpoint_request)}")
    elif not old.checkpoints:
        yield _normal(SAVED, f"the first checkpoint is saved: step {newest.step}")


def _attempts(old: Status, new: Status) -> Iterator[Event]:
    before = {attempt.number: attempt.reason for attempt in old.attempts}
    for attempt in new.attempts:
        if attempt.reason in UNCOUNTED or before.get(attempt.number):
            continue
        if attempt.reason == NODE_REFUSED and new.phase not in TERMINAL:
            why = condition(new, "Progressing")
            yield _warning(NODE_REFUSED, f"attempt {attempt.number} did not start: {why.message if why else ''}")
        elif attempt.reason in INTERRUPTIONS:
            yield _normal("Preempted", f"attempt {attempt.number} was interrupted at step {attempt.steps}"
                          f" ({attempt.reason}); {kept(new.checkpoints)}; it does not count as a failure")  # fmt: skip
        elif new.phase not in TERMINAL:
            yield _warning("Retrying", f"attempt {attempt.number} failed at step {attempt.steps} ({attempt.reason});"
                           f" {kept(new.checkpoints)}; failures so far: {new.failures}")  # fmt: skip


def _paused(old: Status, new: Status) -> Iterator[Event]:
    suspended, before = condition(new, "Suspended"), condition(old, "Suspended")
    if suspended is not None and suspended.status == "True" and _status(before) != "True":
        yield _normal("Suspended", suspended.message)
    if old.phase is Phase.SUSPENDED and new.phase not in TERMINAL | {Phase.SUSPENDED}:
        yield _normal("Resumed", "the job continues")
    if new.phase is Phase.QUEUED and old.phase is not Phase.QUEUED:
        queued = condition(new, "Progressing")
        yield _normal("Queued", queued.message if queued is not None else "")


def _trained(old: Status, new: Status) -> Iterator[Event]:
    if new.phase in RUNNING and old.phase not in RUNNING:
        running, data = condition(new, "Running"), condition(new, "DataReady")
        where = f" in {running.message}" if running is not None and running.message else ""
        rows = f"; {data.message}" if data is not None and data.status == "True" and data.message else ""
        last = new.attempts[-1] if new.attempts else Attempt(number=1)
        if last.resumed_from is not None:
            yield _normal(GOES_ON, f"attempt {last.number} resumes from step {last.resumed_from}{where}{rows}")
        else:
            yield _normal("TrainingStarted", f"attempt {last.number} trains{where}{rows}")


def _ended(old: Status, new: Status) -> Iterator[Event]:
    if new.phase not in TERMINAL or old.phase in TERMINAL:
        return
    reported = condition(new, "Succeeded")
    message = reported.message if reported is not None else ""
    metric = new.summary.metric if new.summary is not None else ""
    if new.phase is Phase.FAILED and new.failure is not None:
        yield _warning("Failed", f"{new.failure.code}: {message}")
        return
    text = "; ".join(part for part in (metric, message) if part)
    yield (_normal if new.phase is Phase.SUCCEEDED else _warning)(str(new.phase), text)


def _reason(found: Condition | None) -> str:
    return found.reason if found is not None else ""


def _status(found: Condition | None) -> str:
    return found.status if found is not None else ""
