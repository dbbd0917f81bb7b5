"""Predictions with a fine-tuned model. One module per task."""

from collections.abc import Callable
from typing import Any

from finetune_api.tasks import Task
from finetune_trainer.models.tuned import TunedModel
from finetune_trainer.prediction.causal_lm import CausalLMPredictor
from finetune_trainer.prediction.masked_lm import MaskedLMPredictor
from finetune_trainer.prediction.predictor import Prediction, Predictor
from finetune_trainer.prediction.reward_model import RewardModelPredictor
from finetune_trainer.prediction.seq2seq import Seq2SeqPredictor
from finetune_trainer.prediction.sequence_classification import SequenceClassificationPredictor
from finetune_trainer.prediction.token_classification import TokenClassificationPredictor

PREDICTORS: dict[Task, Callable[[TunedModel], Predictor[Any]]] = {
    Task.SEQUENCE_CLASSIFICATION: SequenceClassificationPredictor,
    Task.TOKEN_CLASSIFICATION: TokenClassificationPredictor,
    Task.SEQ2SEQ: Seq2SeqPredictor,
    Task.CAUSAL_LM: CausalLMPredictor,
    Task.MASKED_LM: MaskedLMPredictor,
    Task.PREFERENCE: CausalLMPredictor,
    Task.POLICY_OPTIMIZATION: CausalLMPredictor,
    Task.REWARD_MODEL: RewardModelPredictor,
}
"""The predictor of each task; the keys agree with `finetune_trainer.tasks.TASKS`."""

__all__ = ["PREDICTORS", "Prediction", "Predictor"]
