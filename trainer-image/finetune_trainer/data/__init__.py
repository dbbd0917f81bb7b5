"""Rows: found, read, cleaned, checked, split, and made ready for the model.

`prepare` is the way in; `read_rows` reads input for prediction through the same readers.
"""

from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.prepare import prepare
from finetune_trainer.data.prepared import Examples, Prepared
from finetune_trainer.data.rows import Bad, Row
from finetune_trainer.data.sources import read_rows

__all__ = ["Bad", "Examples", "LabelSpace", "Prepared", "Row", "prepare", "read_rows"]
