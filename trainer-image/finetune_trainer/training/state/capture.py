"""`StateCapture`: weights, optimizer, schedule, scaler and RNG state copied into a snapshot, and restored."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.state.optimizer import check_optimizer, load_optimizer, optimizer_state
from finetune_trainer.training.state.rng import check_random, random_state, set_random_state
from finetune_trainer.training.state.tensors import (
    IncompatibleState,
    Tensors,
    check_weights,
    copy_to_cpu,
    load_weights,
    trainable_state_dict,
    wait_for_copies,
)
from finetune_trainer.training.state.training_state import TrainingState

Parts = Mapping[str, Mapping[str, Tensor]]


class StateCapture:
    """Trainable weights, buffers, optimizer, schedule, gradient scaler, random generators and the best weights."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, scaler: Any, best: BestWeights
    ) -> None:
        """Take the parts; `scaler` is None without gradient scaling."""
        self._model, self._optimizer, self._schedule = model, optimizer, schedule
        self._scaler, self._best = scaler, best

    def capture(self, *, finished: bool, is_best: bool) -> tuple[dict[str, Tensors], dict[str, Any]]:
        """Copy all parts: tensors by part, and fields of `TrainingState`.

        Once training has `finished`, nobody needs the optimiser; weights that are the best (`is_best`) are there once.
        """
        random, random_values = random_state()
        parts = {
            "weights": {name: copy_to_cpu(tensor) for name, tensor in trainable_state_dict(self._model).items()},
            "random": random,
        }
        values: dict[str, Any] = {"random": random_values, "schedule": self._schedule.state_dict()}
        if self._scaler is not None:
            values["scaler"] = self._scaler.state_dict()
        if not finished:
            parts["optimizer"], values["optimizer"] = optimizer_state(self._optimizer, self._model)
            if not is_best:
                parts["best"] = self._best.saved()
        wait_for_copies()
        return {name: part for name, part in parts.items() if part}, values

    def check(self, parts: Parts, state: TrainingState) -> None:
        """Raise `IncompatibleState` where a part can't be restored; nothing is changed."""
        check_weights(self._model, parts.get("weights", {}))
        if not state.finished:
            try:
                self._check_rest(parts, state)
            except (AttributeError, KeyError, TypeError) as error:
                raise IncompatibleState(f"{error!r} in its values") from error

    def restore(self, parts: Parts, state: TrainingState) -> None:
        """Restore a state that `check` accepts."""
        load_weights(self._model, parts["weights"])
        if state.finished:
            return
        load_optimizer(self._optimizer, self._model, dict(parts.get("optimizer", {})), state.optimizer)
        self._schedule.load_state_dict(dict(state.schedule))
        if self._scaler is not None and state.scaler:
            self._scaler.load_state_dict(dict(state.scaler))
        if state.choice.is_best(state.step):
            self._best.save(self._model)
        elif state.best is not None:
            self._best.put(parts["best"])
        set_random_state(dict(parts["random"]), state.random)

    def reschedule(self) -> None:
        """Set the next learning rate by this run's schedule, where the state has that of another."""
        schedule = self._schedule
        if not isinstance(schedule, LambdaLR):
            raise TypeError(schedule)
        rates = [
            base * factor(schedule.last_epoch)
            for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        ]
        for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        schedule._last_lr = rates  # noqa: SLF001 -- what its own step() does

    def _check_rest(self, parts: Parts, state: TrainingState) -> None:
        check_optimizer(self._optimizer, self._model, dict(parts.get("optimizer", {})), state.optimizer)
        check_random(dict(parts.get("random", {})), state.random)
        if state.schedule.keys() != self._schedule.state_dict().keys():
            raise IncompatibleState("its schedule is of another kind")
        if state.best is not None and not state.choice.is_best(state.step):
            check_weights(self._model, parts.get("best", {}))
