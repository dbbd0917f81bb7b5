"""Input embeddings restricted to the ids that occur in the data.

A batch uses few of a vocabulary's rows, yet the optimiser walks over all of them at every step: for MiniLM that
is half of the parameters, for XLM-R two thirds. Rows that no text contains get no gradient, so leaving them out
saves their gradients and optimiser state and changes one thing only: they are not decayed towards zero.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


class RestrictedEmbedding(nn.Module):
    """An embedding restricted to the rows `used` ([k] on the CPU, ascending token ids) of `table`."""

    place: Tensor
    """Row of each token id, -1 for those that are left out."""

    def __init__(self, table: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        device = table.weight.device
        place = torch.full((table.num_embeddings,), -1)
        place[used] = torch.arange(len(used))
        self.weight = nn.Parameter(table.weight.detach()[used.to(device)].clone())
        self.register_buffer("place", place.to(device), persistent=False)
        self.embedding_dim = table.embedding_dim
        # Padding gets no gradient from nn.Embedding, also where a text itself contains its token.
        padding = table.padding_idx
        self._padding = None if padding is None or padding not in used else int(place[padding])

    def forward(self, ids: Tensor) -> Tensor:
        """Look up token ids of any shape; returns [..., embedding_dim].

        Raises `IndexError` for a token that is not in the used rows.
        """
        return functional.embedding(self.place[ids], self.weight, self._padding)


def used_token_ids(columns: list[NDArray[np.int32]], *always: int | None) -> Tensor:
    """Distinct ids in the columns, and those always needed (padding), ascending."""
    needed = np.asarray([index for index in always if index is not None], np.int32)
    return torch.from_numpy(np.unique(np.concatenate([*columns, needed])).astype(np.int64))


@contextmanager
def restricted_embedding(model: nn.Module, used: Tensor) -> Iterator[None]:
    """Inside the block, replace the trainable input embedding by its used rows; written back after it.

    Does nothing where the embedding is frozen, or shared with an output layer, whose every row is trained.
    """
    found = _embedding(model)
    if found is None:
        yield
        return
    parent, name, table = found
    rows = RestrictedEmbedding(table, used)
    setattr(parent, name, rows)
    try:
        yield
    finally:
        with torch.no_grad():
            table.weight[used.to(table.weight.device)] = rows.weight.to(table.weight)
        setattr(parent, name, table)


def _embedding(model: nn.Module) -> tuple[nn.Module, str, nn.Embedding] | None:
    find = getattr(model, "get_input_embeddings", None)
    table = find() if callable(find) else None
    if type(table) is not nn.Embedding or not table.weight.requires_grad or table.max_norm is not None:
        return None
    users = [
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if getattr(child, "weight", None) is table.weight
    ]
    return (*users[0], table) if len(users) == 1 else None
