"""Predictions with a tuned model: rows in, what the model says of each out. One module a task."""

from collections.abc import Callable
from typing import Any

from finetune_api.tasks import Task
from finetune_trainer.models.tuned import TunedModel
from finetune_trainer.prediction.continued_text import TextContinuer
from finetune_trainer.prediction.filled_text import TextFiller
from finetune_trainer.prediction.predictor import Prediction, Predictor
from finetune_trainer.prediction.scored_answers import AnswerScorer
from finetune_trainer.prediction.tagged_words import WordTagger
from finetune_trainer.prediction.text_classes import TextClassifier
from finetune_trainer.prediction.written_text import TextWriter

PREDICTORS: dict[Task, Callable[[TunedModel], Predictor[Any]]] = {
    Task.SEQUENCE_CLASSIFICATION: TextClassifier,
    Task.TOKEN_CLASSIFICATION: WordTagger,
    Task.SEQ2SEQ: TextWriter,
    Task.CAUSAL_LM: TextContinuer,
    Task.MASKED_LM: TextFiller,
    Task.PREFERENCE: TextContinuer,
    Task.POLICY_OPTIMIZATION: TextContinuer,
    Task.REWARD_MODEL: AnswerScorer,
}
"""The predictor of each task; the keys agree with `finetune_trainer.tasks.TASKS`."""

__all__ = ["PREDICTORS", "Prediction", "Predictor"]
