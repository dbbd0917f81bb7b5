"""Rows: read, cleaned, checked, split and tokenised.

`prepare` is the way in; `read_rows` reads input for prediction through the same readers. `reading` gets rows from
wherever they are, `shapes` says what a task finds in one, `tokenising` makes them what a model reads; what stands here
cleans, compares, splits and mixes them.
"""

from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.prepare import prepare
from finetune_trainer.data.prepared import Examples, Prepared
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.reading.sources import read_rows

__all__ = ["Bad", "Examples", "LabelSpace", "Prepared", "Row", "prepare", "read_rows"]
