"""Optimizer state as tensors named by parameter and JSON, and its restoration."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from finetune_trainer.training.optimizers import embedding_weights, kind_of
from finetune_trainer.training.state.tensors import IncompatibleState, Tensors, copy_to_cpu, parameter_names

_NUMBERS = (int, float)


def optimizer_state(optimizer: Optimizer, model: nn.Module) -> tuple[Tensors, dict[str, Any]]:
    """Tensors by `<kind>/<parameter>`, copied to the CPU, and the numbers of the state and of each group."""
    tensors: Tensors = {}
    numbers: dict[str, float] = {}
    names = parameter_names(model)
    for parameter, state in optimizer.state.items():
        for kind, value in state.items():
            key = f"{kind}/{names[id(parameter)]}"
            if isinstance(value, Tensor):
                tensors[key] = copy_to_cpu(value)
            else:
                numbers[key] = value
    groups = [_numbers(group) for group in optimizer.param_groups]
    return tensors, {"tensors": len(tensors), "numbers": numbers, "groups": groups}


def check_optimizer(optimizer: Optimizer, model: nn.Module, tensors: Tensors, values: dict[str, Any]) -> None:
    """Raise `IncompatibleState` for a state of another model or optimizer; changes nothing."""
    parameters = dict(model.named_parameters())
    state, embeddings = kind_of(optimizer).state, embedding_weights(model)
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        parameter = parameters.get(name)
        expected = {} if parameter is None else state(tuple(parameter.shape), id(parameter) in embeddings)
        if kind not in expected or (tuple(tensor.shape), tensor.dtype) != expected[kind]:
            raise IncompatibleState(f"the optimiser has no place for {key} {list(tensor.shape)}")
    if len(tensors) != values["tensors"]:
        raise IncompatibleState(f"{len(tensors)} tensors of the optimiser instead of {values['tensors']}")
    if len(values["groups"]) != len(optimizer.param_groups):
        raise IncompatibleState(
            f"{len(values['groups'])} groups of parameters instead of {len(optimizer.param_groups)}"
        )


def load_optimizer(optimizer: Optimizer, model: nn.Module, tensors: Tensors, values: dict[str, Any]) -> None:
    """Restore a state that `check_optimizer` accepts."""
    names = parameter_names(model)
    index = {
        names[id(parameter)]: number
        for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
    }
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **values["numbers"]}.items():
        kind, _, name = key.partition("/")
        state.setdefault(index[name], {})[kind] = value.clone() if isinstance(value, Tensor) else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, numbers in zip(optimizer.param_groups, values["groups"], strict=True):
        group.update(numbers)


def _numbers(group: dict[str, Any]) -> dict[str, float]:
    """Values that change during training: rates and counters, not parameters or flags."""
    return {name: value for name, value in group.items() if type(value) in _NUMBERS}
