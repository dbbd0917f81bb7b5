"""State of the random generators: PyTorch's on each device, and those of Python and NumPy that libraries draw from."""

import random
from typing import Any

import numpy as np
import torch

from finetune_trainer.training.state.tensors import IncompatibleState, Tensors

_NUMPY = "MT19937"
_VALUES = {"python": {"version", "gauss"}, "numpy": {"position", "hasGauss", "gauss"}}


def seed_everything(seed: int) -> None:
    """Seed all generators."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- the generator that libraries draw from


def random_state() -> tuple[Tensors, dict[str, Any]]:
    """The state of all generators."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    version, words, gauss = random.getstate()
    found: Any = np.random.get_state()  # noqa: NPY002 -- as above
    _, keys, position, has_gauss, cached = found
    tensors["python"] = torch.tensor(words, dtype=torch.int64)
    tensors["numpy"] = torch.from_numpy(keys.astype(np.int64))
    numpy = {"position": int(position), "hasGauss": int(has_gauss), "gauss": float(cached)}
    return tensors, {"python": {"version": version, "gauss": gauss}, "numpy": numpy}


def check_random(tensors: Tensors, values: dict[str, Any]) -> None:
    """Raise `IncompatibleState` unless there is a state for each generator; changes nothing."""
    missing = {"torch", "python", "numpy"} - tensors.keys()
    if missing:
        raise IncompatibleState(f"no state of the random generator of {min(missing)}")
    if any(set(values.get(name, {})) != keys for name, keys in _VALUES.items()):
        raise IncompatibleState("the states of the random generators of Python and NumPy are of another version")
    if tensors["torch"].shape != torch.get_rng_state().shape:
        raise IncompatibleState("the state of PyTorch's random generator is of another version")


def set_random_state(tensors: Tensors, values: dict[str, Any]) -> None:
    """Restore a state that `check_random` accepts; GPUs missing from it are unchanged."""
    python, numpy = values["python"], values["numpy"]
    torch.set_rng_state(tensors["torch"].clone())
    for number in range(torch.cuda.device_count()):
        if f"cuda.{number}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda.{number}"], number)
    random.setstate((python["version"], tuple(tensors["python"].tolist()), python["gauss"]))
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state((_NUMPY, keys, numpy["position"], numpy["hasGauss"], numpy["gauss"]))  # noqa: NPY002 -- as above
