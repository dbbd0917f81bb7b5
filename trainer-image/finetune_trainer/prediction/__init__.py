"""Predictions with a tuned model: rows in, what the model says of each out. One module a task."""

from collections.abc import Callable
from typing import Any

from finetune_api.tasks import Task
from finetune_trainer.models.tuned import TunedModel
from finetune_trainer.prediction.causal_lm import TextContinuer
from finetune_trainer.prediction.masked_lm import TextFiller
from finetune_trainer.prediction.predictor import Prediction, Predictor
from finetune_trainer.prediction.reward_model import AnswerScorer
from finetune_trainer.prediction.seq2seq import TextWriter
from finetune_trainer.prediction.sequence_classification import TextClassifier
from finetune_trainer.prediction.token_classification import WordTagger

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
