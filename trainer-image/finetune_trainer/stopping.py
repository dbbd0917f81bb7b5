"""Outcome of a stopped run: committed checkpoint and how to resume; and calls with a timeout."""

from collections.abc import Callable
from threading import Thread

from finetune_api.failures import Interrupted, JobFailure, Stopped
from finetune_api.status import CheckpointInfo

RUN_AGAIN = "run the job again: it resumes there"
"""How to go on, where whoever runs the job knows nothing better."""


def stop_of(step: int, safe: CheckpointInfo | None, resume_hint: str) -> JobFailure:
    """The failure of a run stopped after `step` optimizer steps, with `safe` as its newest committed checkpoint."""
    if safe is not None and safe.step >= step:
        return Stopped(f"stopped on request; step {safe.step} is safe in a checkpoint", hint=resume_hint)
    if safe is not None:
        lost = f"step {step} was not saved in time, step {safe.step} is safe in a checkpoint"
        return Interrupted(f"stopped on request; {lost}", hint=resume_hint)
    if step:
        return Interrupted(f"stopped on request; step {step} was not saved in time", hint="run the job again")
    return Interrupted("stopped on request before training continued; nothing was lost", hint="run the job again")


def within(seconds: float | None, action: Callable[[], None]) -> bool:
    """Run `action` with a timeout and raise its errors; False after `seconds`, while it continues in its thread.

    It ends with the process at the latest. None means that it may take any time.
    """
    if seconds is None:
        action()
        return True
    raised = list[Exception]()

    def work() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 -- raised again in the thread that waits
            raised.append(error)

    thread = Thread(target=work, name="last-words", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    return not thread.is_alive()
