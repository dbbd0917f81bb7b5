"""Upload of one checkpoint: data files, their verification, and the manifest last, create-only."""

from threading import Event

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.failures import OutputNotWritable, StorageUnavailable
from finetune_trainer.checkpoints.committed import Committed
from finetune_trainer.checkpoints.layout import Place
from finetune_trainer.checkpoints.persistence import ClosedError
from finetune_trainer.checkpoints.staging import LocalCopy
from finetune_trainer.output.publish import OutputFolder


class Delivery:
    """An upload that can be retried: files that are uploaded already are not sent again."""

    def __init__(
        self, output: OutputFolder, manifest: CheckpointManifest, copy: LocalCopy, unsure: set[Place], closed: Event
    ) -> None:
        """Take the files and their destination. Once `closed` is set, nothing is committed any more.

        `unsure` is of the whole run: places whose manifest was sent without an answer. It is kept up to date.
        """
        self._output, self._manifest, self._copy = output, manifest, copy
        self._unsure, self._closed = unsure, closed
        self._place = Place(manifest.step, output.held)
        self._uploaded: set[str] = set()

    def attempt(self) -> Committed:
        """Upload the missing files and commit; returns the checkpoint as stored.

        Raises `Fenced` where a newer attempt owns the output, also where it came while this was committing: that one
        may have looked before. `StorageUnavailable` may be tried again.
        """
        self._output.check_owner()
        try:
            committed = self._found() or self._sent()
        except OutputNotWritable:  # a newer attempt sweeps away what is not committed, also from under a write
            self._output.check_owner()
            raise
        self._output.check_owner()
        self._unsure.discard(self._place)
        return committed

    def _found(self) -> Committed | None:
        """The checkpoint, where an earlier try has committed it after all."""
        if self._place not in self._unsure or not self._output.folder.exists(self._place.manifest):
            return None
        content = self._output.folder.get(self._place.manifest)
        return Committed.of(self._place, CheckpointManifest.model_validate_json(content), content)

    def _sent(self) -> Committed:
        for entry in self._manifest.files:
            if entry.path not in self._uploaded:
                self._output.put(self._place.file(entry.path), self._copy.folder / entry.path)
                self._uploaded.add(entry.path)
        self._check_sizes()
        if self._closed.is_set():
            raise ClosedError
        content = self._manifest.model_dump_json(by_alias=True, indent=2).encode()
        self._unsure.add(self._place)
        self._output.commit(self._place.manifest, content)
        return Committed.of(self._place, self._manifest, content)

    def _check_sizes(self) -> None:
        stored = dict(self._output.folder.list(self._place.folder))
        lost = {entry.path for entry in self._manifest.files if stored.get(self._place.file(entry.path)) != entry.size}
        self._uploaded -= lost
        if lost:
            place = self._output.uri(self._place.folder)
            raise StorageUnavailable(f"{place} does not hold what was uploaded: {', '.join(sorted(lost))}")
