"""What `prepare` hands on: rows ready for the tokenizer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_api.report import DataReport, Place
from finetune_trainer.data.labels import LabelSpace

Targets = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """The rows of one split, in the order of their files.

    `targets` are class numbers (int64 [n], SingleLabel), zeros and ones (float32 [n, k], MultiLabel) or numbers
    (float32 [n], Regression). `pairs` and `groups` are None where the job names no such column.
    """

    texts: list[str]
    pairs: list[str] | None
    targets: Targets
    places: list[Place]
    groups: list[str] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.texts)


@dataclass(frozen=True)
class Prepared:
    """All splits that have rows (`train` always), the label space, what the data is like, and the digest of it all."""

    splits: dict[str, Examples]
    labels: LabelSpace
    report: DataReport
    digest: str
