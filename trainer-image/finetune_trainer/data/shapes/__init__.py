"""Row shapes by task: required columns, and conversion of cells to records."""

from collections.abc import Callable

from finetune_api.data import Data
from finetune_api.tasks import Task
from finetune_trainer.data.shapes.answer_pairs import AnswerPairs
from finetune_trainer.data.shapes.labelled_text import LabelledText
from finetune_trainer.data.shapes.language import LanguageRows
from finetune_trainer.data.shapes.prompts_only import PromptsOnly
from finetune_trainer.data.shapes.raw_text import RawText
from finetune_trainer.data.shapes.shape import Shape, TargetReader
from finetune_trainer.data.shapes.tagged_words import TaggedWords
from finetune_trainer.data.shapes.text_to_text import TextToText

SHAPES: dict[Task, Callable[[Data, str], Shape]] = {
    Task.SEQUENCE_CLASSIFICATION: LabelledText,
    Task.TOKEN_CLASSIFICATION: TaggedWords,
    Task.SEQ2SEQ: TextToText,
    Task.CAUSAL_LM: LanguageRows,
    Task.MASKED_LM: RawText,
    Task.PREFERENCE: AnswerPairs,
    Task.REWARD_MODEL: AnswerPairs,
    Task.POLICY_OPTIMIZATION: PromptsOnly,
}
"""The shape of each task's rows, made from `spec.data` and the group column."""

__all__ = ["SHAPES", "Shape", "TargetReader"]
