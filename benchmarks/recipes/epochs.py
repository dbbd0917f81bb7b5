"""What scripts by hand have in common: epochs, of which the one with the lowest validation loss is kept."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from finetune_api.training import Training


def train_and_keep_best(
    model: Any,
    batches: Iterable[list[Tensor]],
    loss: Callable[[list[Tensor]], Tensor],
    held_out: Callable[[], float],
    training: Training,
) -> None:
    """Minimise `loss` over the batches of each epoch with AdamW; the state with the lowest `held_out` stays."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=training.learning_rate or 0, weight_decay=training.weight_decay)
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for _ in range(int(training.epochs or 0)):
        model.train()
        for batch in batches:
            optimizer.zero_grad()
            loss(batch).backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(trained, training.max_grad_norm)
            optimizer.step()
        reached = held_out()
        if reached < best:
            best, kept = reached, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
