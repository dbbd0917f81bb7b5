"""`CheckpointStore`: reads checkpoints of a run at its start, saves them in the background, deletes superseded ones."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.failures import Fenced, JobFailure
from finetune_api.manifest import Lineage, ResumedRun
from finetune_api.status import CheckpointInfo
from finetune_trainer.checkpoints.committed import Committed, Resumed
from finetune_trainer.checkpoints.delivery import Delivery
from finetune_trainer.checkpoints.disposal import dispose, sweep
from finetune_trainer.checkpoints.layout import Place
from finetune_trainer.checkpoints.other_run import SPEC, OtherRun
from finetune_trainer.checkpoints.persistence import Persistence, persist
from finetune_trainer.checkpoints.reading import CheckpointReader
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.staging import LocalCopy, Staging
from finetune_trainer.checkpoints.uploader import Uploader
from finetune_trainer.checkpoints.verification import Origin
from finetune_trainer.observer import Upload
from finetune_trainer.output.publish import OutputFolder


class CheckpointStore:
    """The checkpoints of a job whose output this run has claimed.

    Call `newest` first, then `save` as often as wanted and `check` between, `finish` to be sure, and `close` always.
    Of `save`, `check`, `wait` and `finish`, each raises `Fenced` where a newer attempt owns the output, and otherwise
    what made saving impossible.
    """

    def __init__(
        self,
        output: OutputFolder,
        scratch: Path,
        retention: Retention,
        warned: Callable[[str], None],
        persistence: Persistence | None = None,
        *,
        other: OtherRun | None = None,
    ) -> None:
        """Take the claimed output, a local folder, the retention policy, the receiver of warnings and retry limits.

        `other` is the run to go on from where this one has no checkpoint of its own.

        Warnings come in the thread that calls the store, never beside it.
        """
        self._output, self._retention, self._warned = output, retention, warned
        self._persistence = persistence or Persistence()
        self._reader = CheckpointReader(output.folder, scratch, warned)
        self._other = other
        self._of_other = CheckpointReader(other.folder, scratch / "other", warned) if other is not None else None
        self._staging = Staging(scratch / "checkpoints")
        self._uploader = Uploader(self._write, self._upload, self._persistence, warned)
        self._began = 0.0
        self.newest_upload: Upload | None = None
        """The newest checkpoint that this attempt has committed, for metrics."""
        self._lineage: Lineage | None = None
        self._source: Committed | None = None
        self._resumed_step: int | None = None
        self._committed: tuple[Committed, ...] = ()
        self._unsure: set[Place] = set()

    @property
    def lineage(self) -> Lineage | None:
        """Lineage of the training, with the run that it continues; None before `newest`."""
        return self._lineage

    @property
    def committed(self) -> tuple[CheckpointInfo, ...]:
        """Checkpoints in the store, oldest first, those of earlier attempts included."""
        return tuple(one.info(self._output.folder) for one in self._committed)

    def newest(self, lineage: Lineage) -> Resumed | None:
        """The newest checkpoint of the same spec, data and model, verified by its hashes; None without one.

        One that is broken, or was made from something else, is told of, and the next older is tried; where this run has
        none, those of the other one are. Also removes what earlier attempts left without committing it.

        Raises `CheckpointNotFound` and `SpecInvalid` where the other run has none that this one can continue, and
        `StorageUnavailable` and the like as they are.
        """
        self._lineage, self._source, self._resumed_step, self._committed = lineage, None, None, ()
        origin = Origin(self._output.uid, lineage)
        found = self._reader.newest(origin)
        self._sweep()
        if found is None:
            return self._newest_of_other(lineage)
        self._source, snapshot = found
        self._resumed_step = snapshot.step
        self._lineage = lineage.model_copy(update={"resumed_run": self._source.manifest.lineage.resumed_run})
        self._committed = (*self._reader.older(self._source, origin), self._source)
        return Resumed(snapshot, self._source.manifest, self._source.info(self._output.folder))

    def set_aside(self, resumed: Resumed, why: str) -> None:
        """Exclude a checkpoint that training can't resume from, and warn with the reason, after `it`.

        `newest` then finds the next older one.
        """
        reader = self._of_other if resumed.run is not None and self._of_other is not None else self._reader
        reader.set_aside(resumed.info.uri, why)

    def save(self, snapshot: Snapshot) -> None:
        """Queue a snapshot for the uploader's thread; blocks while another upload runs.

        A step that this attempt has committed already is not saved again.
        """
        self._uploader.wait()
        if not any(one.place.step == snapshot.step and one.place.claim == self._output.held for one in self._committed):
            self._uploader.hand_over(snapshot)

    def wait(self, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until no upload runs: a snapshot taken then is the only one in memory.

        False where `given_up` says first that there is no time for it.
        """
        return self._uploader.wait(given_up)

    def check(self) -> None:
        """Emit pending warnings and raise failures of uploads. Cheap enough for every step."""
        self._uploader.check()

    def finish(self, seconds: float | None = None) -> None:
        """Wait until all saved snapshots are committed.

        Raises `StorageUnavailable` where that takes more than `seconds`, or where the last one was missed.
        """
        self._uploader.finish(seconds)

    def close(self) -> None:
        """Stop the uploader's thread; a running upload is not committed."""
        self._uploader.close()

    def _newest_of_other(self, lineage: Lineage) -> Resumed | None:
        other, reader = self._other, self._of_other
        if other is None or reader is None:
            return None
        other.check_lineage(lineage)
        found = reader.newest(Origin(other.uid, lineage, of_same_spec=False))
        if found is None:
            raise other.unusable()
        one, snapshot = found
        other.check_spec(snapshot.values.get(SPEC))
        info, manifest = one.info(other.folder), one.manifest
        run = ResumedRun(job=manifest.job, uid=manifest.uid, uri=info.uri, step=info.step, digest=info.digest)
        self._lineage = lineage.model_copy(update={"resumed_run": run})
        self._resumed_step = snapshot.step
        return Resumed(snapshot, manifest, info, run)

    def _write(self, snapshot: Snapshot) -> LocalCopy:
        self._began = time.monotonic()
        return self._staging.write(snapshot)

    def _upload(self, copy: LocalCopy, closed: Event) -> None:
        if self._lineage is None:
            raise RuntimeError("newest() says what is saved here, and was not called")
        manifest = CheckpointManifest(
            job=self._output.job,
            uid=self._output.uid,
            attempt=self._output.attempt,
            step=copy.step,
            epoch=copy.epoch,
            created_at=datetime.now(UTC),
            files=list(copy.files),
            lineage=self._lineage,
            metric=copy.metric,
            resumed_from=self._resumed_step,
        )
        delivery = Delivery(self._output, manifest, copy, self._unsure, closed)
        committed = persist(delivery.attempt, self._persistence, closed)
        self._committed = (*self._committed, committed)
        self.newest_upload = Upload(copy.step, copy.size, time.monotonic() - self._began)
        self._thin_out()

    def _thin_out(self) -> None:
        """Delete superseded checkpoints after a commit. A failed deletion is a warning, never the end of the run."""
        source = self._source.place if self._source else None
        try:
            for one in self._retention.superseded(self._committed, source):
                self._output.check_owner()
                dispose(self._output.folder, one.place)
                self._committed = tuple(other for other in self._committed if other is not one)
        except Fenced:
            raise
        except JobFailure as failure:
            text = f"older checkpoints can't be deleted: {failure.problems[0].message}"
            self._uploader.note(lambda: self._warned(text))

    def _sweep(self) -> None:
        try:
            sweep(self._output.folder, self._output.held)
        except JobFailure as failure:
            self._warned(f"leftovers of earlier attempts can't be deleted: {failure.problems[0].message}")
