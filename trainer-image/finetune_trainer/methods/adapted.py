"""`Adapted`: a model with its method applied, the rows it takes, and how it is saved."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from finetune_trainer.data.tokenising.collate import RowSource, SeveralTexts, TokenRows
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.observer import Advance

if TYPE_CHECKING:
    from transformers import PretrainedConfig


MakeRows = Callable[[Tokens, Advance], RowSource]
"""Makes rows of tokens, and tells how many are done."""


CheckRows = Callable[[Tokens, int], None]
"""Raises a failure where the rows of tokens, of which every n-th is there, can't be made; with that n."""


def uniform_lr(_name: str) -> float:
    """Learning-rate factor of 1 for every parameter: the default of methods."""
    return 1.0


@dataclass(frozen=True)
class Adapted:
    """A model prepared for training by one method."""

    model: nn.Module
    """What the loop trains: takes what `rows` collate, returns an output with `logits`."""

    rows: MakeRows
    """Turns `Tokens` into the `RowSource` that the model takes; tells how many rows are done."""

    total_parameters: int
    """Parameters of the whole model, frozen ones included."""

    save: Callable[[Path], None]
    """Writes the trained weights into a folder, in the layout of transformers or PEFT."""

    merge: Callable[[Path, torch.dtype], None] | None = None
    """Writes base and adapter as one model, merged weights in a format.

    None where there is no adapter, or none that can be merged.
    """

    as_base_model: Callable[[], AbstractContextManager[object]] = nullcontext
    """A block in which `model` is the base as it came, before training."""

    lr_factor: Callable[[str], float] = uniform_lr
    """Factor on the learning rate of a parameter, by its name."""

    check_rows: CheckRows | None = None
    """Says of tokens whether `rows` can be made of them, without making them; None where nothing is in the way."""


def token_rows(config: "PretrainedConfig") -> MakeRows:
    """Rows of tokens, for methods that run the whole model in every step; `config` is the model's."""
    pad_id, start_id = config.pad_token_id, getattr(config, "decoder_start_token_id", None)

    def rows(tokens: Tokens, advance: Advance) -> RowSource:
        advance(len(tokens))
        return TokenRows(tokens, pad_id, start_id)

    return rows


def whole_rows(make: MakeRows, tokens: Tokens, advance: Advance) -> RowSource:
    """Rows of `make`, with the several texts of a row combined."""
    source = make(tokens, advance)
    return source if tokens.texts_a_row == 1 else SeveralTexts(source, tokens.texts_a_row)


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
