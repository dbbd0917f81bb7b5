"""Retention policy of checkpoints during a run. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_api.metrics import Metric
from finetune_api.output import Checkpoints
from finetune_trainer.checkpoints.committed import Committed
from finetune_trainer.checkpoints.layout import Place


@dataclass(frozen=True)
class Retention:
    """Retention policy: the newest checkpoint, the best one, and the one that an attempt resumed from."""

    keep: Checkpoints
    """How many of the newest and of the best."""
    metric: Metric
    """What "best" means."""

    def superseded(self, committed: Iterable[Committed], source: Place | None) -> list[Committed]:
        """Checkpoints that may be deleted, oldest first; never `source`. Of equally good ones the earlier stays."""
        ordered = sorted(committed, key=lambda one: one.place)
        kept = {one.place for one in [*ordered[-self.keep.keep_last :], *self._best(ordered)]}
        return [one for one in ordered if one.place not in kept and one.place != source]

    def _best(self, ordered: Sequence[Committed]) -> list[Committed]:
        measured = [(one.manifest.metric, one) for one in ordered if one.manifest.metric is not None]
        ranked = sorted(measured, key=lambda pair: self.metric.better(0, than=pair[0]))
        return [one for _, one in ranked[: self.keep.keep_best]]
