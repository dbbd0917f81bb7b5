"""Background thread that writes and uploads checkpoints during training; one at a time, which bounds memory."""

import time
import traceback
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread

from finetune_api.failures import StorageUnavailable
from finetune_trainer.checkpoints.persistence import ClosedError, Persistence
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.staging import LocalCopy

_CLOSING_SECONDS = 5
_LOOK_SECONDS = 0.5
_LAGS = (
    "training waits for the upload of the checkpoint at step {}: the store is slow; "
    "a larger spec.checkpoints.saveSteps saves less often"
)
Note = Callable[[], None]


class Uploader:
    """Takes snapshots from the training thread; its warnings and failures are raised in that thread too.

    A checkpoint that the store does not take is missed, which is told; too many in a row, and any failure that another
    try can't cure, are raised at the next call.
    """

    def __init__(
        self,
        write: Callable[[Snapshot], LocalCopy],
        upload: Callable[[LocalCopy, Event], None],
        persistence: Persistence,
        warned: Callable[[str], None],
    ) -> None:
        """Take both steps (the second must stop soon after its event is set), retry limits and receiver of warnings."""
        self._write, self._upload = write, upload
        self._persistence, self._warned = persistence, warned
        self._changed = Condition()
        self._handed: Snapshot | None = None
        self._under_way: int | None = None
        self._missed: list[StorageUnavailable] = []
        self._failure: Exception | None = None
        self._notes: deque[Note] = deque()
        self._closed = Event()
        self._thread: Thread | None = None

    def hand_over(self, snapshot: Snapshot) -> None:
        """Queue `snapshot`; blocks while an upload runs. Raises failures of earlier uploads."""
        self.wait()
        if self._thread is None:
            self._thread = Thread(target=self._work, name="checkpoints", daemon=True)
            self._thread.start()
        with self._changed:
            self._handed, self._under_way = snapshot, snapshot.step
            self._changed.notify_all()

    def wait(self, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until no upload runs; False where `given_up` ends the wait first.

        Raises what went wrong so far.
        """
        lags_from, told = time.monotonic() + self._persistence.lag_seconds, False
        while not self._idle(min(_LOOK_SECONDS, self._persistence.lag_seconds)):
            if given_up():
                return False
            if not told and time.monotonic() >= lags_from:
                self._warned(_LAGS.format(self._under_way))
                told = True
        self.check()
        return True

    def finish(self, seconds: float | None) -> None:
        """Wait until no upload runs, `seconds` at most; also raises where the last one failed."""
        if not self._idle(seconds):
            message = f"there was no more time to upload the checkpoint at step {self._under_way}"
            raise StorageUnavailable(message, hint="the store is slow, or the checkpoint large")
        self.check()
        if self._missed:
            raise self._missed[-1]

    def check(self) -> None:
        """Emit pending warnings, and raise permanent failures."""
        while self._notes:
            self._notes.popleft()()
        if self._failure is not None:
            raise self._failure

    def note(self, note: Note) -> None:
        """Queue `note` to be called by the training thread. For the two steps."""
        self._notes.append(note)

    def close(self) -> None:
        """Commit nothing from now on, and stop the thread; an upload that does not stop soon ends with the process."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSING_SECONDS)

    def _idle(self, seconds: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._under_way is None, seconds)

    def _work(self) -> None:
        while self._wanted():
            self._end(self._carry_out())

    def _wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._handed is not None or self._closed.is_set())
        return not self._closed.is_set()

    def _carry_out(self) -> Exception | None:
        try:
            copy = self._write(self._taken())
            try:
                self._upload(copy, self._closed)
            finally:
                copy.remove()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the thread that trains must hear of it
            return error
        return None

    def _taken(self) -> Snapshot:
        """The queued snapshot, which is released from memory once it is written."""
        snapshot, self._handed = self._handed, None
        if snapshot is None:
            raise RuntimeError("woken without a snapshot")
        return snapshot

    def _end(self, error: Exception | None) -> None:
        if error is not None:
            traceback.clear_frames(error.__traceback__)  # they may hold what fills the memory
        with self._changed:
            step, self._under_way = self._under_way, None
            if isinstance(error, StorageUnavailable):
                self._miss(step, error)
            elif not isinstance(error, ClosedError):
                self._failure = error
                self._missed = []
            self._changed.notify_all()

    def _miss(self, step: int | None, error: StorageUnavailable) -> None:
        self._missed.append(error)
        if len(self._missed) >= self._persistence.misses:
            self._failure = error
            return
        reason = error.problems[0].message
        text = f"the checkpoint at step {step} was not saved, training continues without it: {reason}"
        self._notes.append(lambda: self._warned(text))
