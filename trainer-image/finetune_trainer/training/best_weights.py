"""Keeps the trained weights of the best evaluation on local disk until the end of the run."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class BestWeights:
    """The trainable parameters of one moment. A later save replaces an earlier one as a whole."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "best.safetensors"

    def save(self, model: nn.Module) -> None:
        """Write the trainable parameters beside the last ones, then put them in their place."""
        weights = {
            name: parameter.detach().cpu().contiguous()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        part = self._file.with_suffix(".part")
        save_file(weights, part)
        part.replace(self._file)

    def restore(self, model: nn.Module) -> bool:
        """Load them back into the model; False where nothing was saved."""
        if not self._file.is_file():
            return False
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in load_file(self._file).items():
                parameters[name].copy_(value)
        return True
