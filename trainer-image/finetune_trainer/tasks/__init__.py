"""Tasks of fine-tuning, one module each."""

from collections.abc import Callable

from finetune_api import tasks
from finetune_api.spec import Spec
from finetune_trainer.data import Prepared
from finetune_trainer.tasks.causal_lm import CausalLM
from finetune_trainer.tasks.masked_lm import MaskedLM
from finetune_trainer.tasks.policy_optimization import PolicyOptimization
from finetune_trainer.tasks.preference import Preference
from finetune_trainer.tasks.reward_model import RewardModel
from finetune_trainer.tasks.seq2seq import Seq2Seq
from finetune_trainer.tasks.sequence_classification import SequenceClassification
from finetune_trainer.tasks.task import Task
from finetune_trainer.tasks.token_classification import TokenClassification

TASKS: dict[tasks.Task, Callable[[Spec, Prepared], Task]] = {
    tasks.Task.SEQUENCE_CLASSIFICATION: SequenceClassification,
    tasks.Task.TOKEN_CLASSIFICATION: TokenClassification,
    tasks.Task.SEQ2SEQ: Seq2Seq,
    tasks.Task.CAUSAL_LM: CausalLM,
    tasks.Task.MASKED_LM: MaskedLM,
    tasks.Task.PREFERENCE: Preference,
    tasks.Task.REWARD_MODEL: RewardModel,
    tasks.Task.POLICY_OPTIMIZATION: PolicyOptimization,
}
"""The tasks that are built; the keys agree with `finetune_api.tasks.BUILT`."""

__all__ = ["TASKS", "Task"]
