"""What the scripts by hand share: warm-up, linear decay, and the epoch with the lowest validation loss kept."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import get_linear_schedule_with_warmup

from finetune_api.resolved import resolve
from finetune_api.spec import Spec

EVALUATION_ROWS = 64
NOT_COUNTED = -100


def train(model: Any, rows: int, spec: Spec, loss: Callable[[Tensor], Tensor], held_out: Callable[[], float]) -> None:
    """Minimise `loss` of the rows of each batch by AdamW; the state with the lowest `held_out` stays."""
    budget, training = resolve(spec), spec.training
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=budget.learning_rate, weight_decay=training.weight_decay)
    steps = int(budget.epochs * -(-rows // budget.batch_size))
    schedule = get_linear_schedule_with_warmup(optimizer, int(training.warmup_ratio * steps), steps)
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for _ in range(int(budget.epochs)):
        model.train()
        for batch in torch.randperm(rows).split(budget.batch_size):
            loss(batch).backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(trained, training.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        reached = held_out()
        if reached < best:
            best, kept = reached, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)


def adapted(model: Any, spec: Spec, kind: str | None, head: list[str] | None = None) -> Any:
    """The model with LoRA on all linear modules, trained with its `head`, where the job says so; else as it is."""
    if spec.method.type != "LoRA":
        return model
    config = LoraConfig(task_type=kind, r=8, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear",
                        modules_to_save=head)  # fmt: skip
    return get_peft_model(model, config)
