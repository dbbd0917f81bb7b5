"""`Sizing`: a job whose model has no values, with the rows and the loss of its training."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from finetune_api import tasks
from finetune_api.inference import Quantization
from finetune_api.resolved import Resolved
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.estimation.device import Device
from finetune_trainer.estimation.passes import ValuelessModel
from finetune_trainer.estimation.rollouts import RolloutRows
from finetune_trainer.estimation.valueless import without_values
from finetune_trainer.methods.adapted import Adapted, token_rows, whole_rows
from finetune_trainer.methods.head_only import HeadOnly
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import SampledTokens
from finetune_trainer.stages.model_check import adapted_without_weights
from finetune_trainer.stages.training import PASS_COST, Swaps, swapped_for_training
from finetune_trainer.tasks.policy_optimization import PolicyOptimization
from finetune_trainer.tasks.preference import Preference
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.losses.base import Loss, TokenLoss

_EPOCHS = 3
"""Epochs whose batches are looked at: each is shuffled anew."""
_CLASSIFIERS = frozenset({tasks.Task.SEQUENCE_CLASSIFICATION, tasks.Task.TOKEN_CLASSIFICATION, tasks.Task.REWARD_MODEL})
_SHIFTED = frozenset({tasks.Task.CAUSAL_LM, tasks.Task.PREFERENCE, tasks.Task.POLICY_OPTIMIZATION})
_WHOLE = (MethodType.FULL, MethodType.FEATURE_EXTRACTION, MethodType.MERGE)
"""Methods without an adapter."""


@dataclass(frozen=True)
class TrainingPasses:
    """The forward and backward passes of a training that may need most."""

    parts: list[Rows]
    """Rows of each."""
    accumulates: bool
    """Whether a step has several passes."""


@dataclass(frozen=True)
class Sizing:
    """One job to be estimated."""

    sampled: SampledTokens
    base: BaseModel
    resolved: Resolved
    device: Device
    adapted: Adapted

    @classmethod
    def of(cls, sampled: SampledTokens, base: BaseModel, resolved: Resolved, device: Device) -> "Sizing":
        """The job with its method applied. Raises as `adapted_without_weights` does."""
        adapted = adapted_without_weights(sampled.task, base, device.half or torch.float32)
        quantization = Quantization.of(sampled.task.spec.method)
        body = [adapted.model.body] if isinstance(adapted.model, HeadOnly) else []
        for model in (adapted.model, *body):
            without_values(model, double_quant=quantization is not None and quantization.double_quant)
        return cls(sampled, base, resolved, device, adapted)

    @property
    def task(self) -> Task:
        """The task on its rows."""
        return self.sampled.task

    @property
    def spec(self) -> Spec:
        """What the job asks for."""
        return self.task.spec

    @property
    def shift(self) -> bool:
        """Whether logits of a position are of the next token."""
        return self.spec.task in _SHIFTED

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside the block, a head over cached features has its body."""
        head = self.adapted.model
        with head.whole() if isinstance(head, HeadOnly) else nullcontext():
            yield

    @property
    def valueless(self) -> ValuelessModel:
        """The model as it is trained; a head over cached features is that of the model that it belongs to."""
        swaps = Swaps(
            not self.device.is_gpu,
            self.device.half is not None,
            self.sampled.tokens,
            self.base.tokenizer.pad_token_id,
        )
        head: Any = self.adapted.model
        model = head.model if isinstance(head, HeadOnly) else head
        return ValuelessModel(
            model=model,
            vocabulary=self._vocabulary,
            is_adapter=self.spec.method.type not in _WHOLE,
            kind=self.device.kind,
            autocast=self.device.half,
            swapped=partial(swapped_for_training, self.task, model, swaps),
        )

    @property
    def _vocabulary(self) -> int:
        size = getattr(self.base.config.get_text_config(), "vocab_size", 0)
        return 0 if self.spec.task in _CLASSIFIERS else int(size or 0)

    def rows(self, split: str) -> RowSource:
        """Rows of a split, as the whole model takes them."""
        head = self.adapted.model
        make = token_rows(head.model.config) if isinstance(head, HeadOnly) else self.adapted.rows
        source = whole_rows(make, self.sampled.tokens[split], lambda _rows: None)
        task = self.task
        if split != "train" or not isinstance(task, PolicyOptimization):
            return source
        return RolloutRows(task.training_rows(source), task.settings.num_generations)

    @cached_property
    def held_out(self) -> str:
        """Split of the final evaluation."""
        return next(split for split in ("test", "validation", "train") if split in self.sampled.tokens)

    def loss(self, rows: RowSource) -> Loss:
        """The training loss over `rows`; a reference model's log-probabilities are zeros."""
        task, tokens = self.task, self.sampled.tokens["train"]
        if isinstance(task, PolicyOptimization):
            return TokenLoss(rows.lengths, shift=True)
        if isinstance(task, Preference) and task.needs_reference:
            task = replace(task, reference={"train": np.zeros((len(rows.lengths), 2))})
        return task.loss(tokens, rows, self.adapted.model, self.base.tokenizer)

    def training_passes(self, rows: RowSource, most_tokens: int) -> TrainingPasses:
        """The passes of at most so many tokens with the most padded ones and the longest row, of the first epochs."""
        plan = BatchPlan(
            lengths=rows.lengths,
            batch_size=self.resolved.batch_size,
            per_device_batch_size=self.spec.training.per_device_batch_size,
            token_budget=most_tokens,
            pass_cost=PASS_COST[self.device.kind],
            seed=self.spec.training.seed,
        )
        steps = [list(plan.micro_batches(batch)) for number in range(_EPOCHS) for batch in plan.epoch(number)]
        passes = [part for parts in steps for part in parts]
        padded = [len(part) * int(rows.lengths[part].max()) for part in passes]
        longest = [int(rows.lengths[part].max()) for part in passes]
        chosen = dict.fromkeys((int(np.argmax(padded)), int(np.lexsort((padded, longest))[-1])))
        return TrainingPasses([passes[place] for place in chosen], any(len(parts) > 1 for parts in steps))
