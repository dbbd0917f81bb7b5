"""`BestWeights`: the trainable state of the best evaluation, on local disk until the end of the run."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from finetune_trainer.training.state.tensors import Tensors, load_weights, trainable_state_dict


class BestWeights:
    """A `trainable_state_dict` in `best.safetensors`. A later save replaces an earlier one atomically."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "best.safetensors"

    def save(self, model: nn.Module) -> None:
        """Write them to a temporary file, then replace the previous ones."""
        self.put({name: tensor.detach().cpu().contiguous() for name, tensor in trainable_state_dict(model).items()})

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Write weights that are not in the model."""
        part = self._file.with_suffix(".part")
        save_file(dict(weights), part)
        part.replace(self._file)

    def saved(self) -> Tensors:
        """The last saved weights by name; empty without any. A later save does not change them."""
        return load_file(self._file) if self._file.is_file() else {}

    def restore(self, model: nn.Module) -> bool:
        """Load them into the model; False where nothing was saved."""
        weights = self.saved()
        load_weights(model, weights)
        return bool(weights)
