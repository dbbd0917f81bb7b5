"""Number of steps and values in force of a training, for the run and for `validate`. Pure."""

import math
from dataclasses import dataclass

from finetune_api.failures import ModelUnsuitable
from finetune_api.resolved import Resolved, resolve
from finetune_api.spec import Spec


@dataclass(frozen=True)
class Steps:
    """Numbers of optimizer steps of a run."""

    an_epoch: int
    """Steps in one pass over the training rows."""
    total: int
    """Steps of the whole training, unless it stops early."""
    evaluate_every: int
    """Steps between evaluations on the validation rows."""
    rows_an_epoch: int = 0
    """Training rows."""

    def rows(self, batch_size: int) -> int:
        """Rows of the whole training, repeated ones included; the last step of an epoch may have fewer."""
        epochs, left = divmod(self.total, self.an_epoch)
        return epochs * self.rows_an_epoch + min(self.rows_an_epoch, left * batch_size)


def plan_steps(spec: Spec, resolved: Resolved, rows: int) -> Steps:
    """Steps for `rows` training rows: `maxSteps` overrides `epochs`; the last step of an epoch may be partial."""
    if resolved.penalties:
        return Steps(1, resolved.penalties, 1, rows)
    an_epoch = math.ceil(rows / resolved.batch_size)
    total = spec.training.max_steps or math.ceil(resolved.epochs * an_epoch)
    return Steps(an_epoch, total, spec.evaluation.eval_steps or an_epoch, rows)


def resolve_values(spec: Spec, limit: int, rows: int | None = None) -> Resolved:
    """Resolved values for a model with a `limit` in tokens, which caps defaults, and for training `rows`.

    Virtual tokens of the method are taken off it. Raises `ModelUnsuitable` where the spec itself asks for more.
    """
    limit -= spec.method.virtual_tokens
    if limit < 1:
        message, hint = f"{spec.method.virtual_tokens} virtual tokens leave no room for a text", "use fewer"
        raise ModelUnsuitable(message, where="spec.method", hint=hint)
    resolved, wanted = resolve(spec, rows), spec.data.max_length
    if wanted is not None and wanted > limit:
        message, hint = f"{wanted} tokens are more than the model can take", f"use at most {limit}, or leave it out"
        raise ModelUnsuitable(message, where="spec.data.maxLength", hint=hint)
    target = resolved.max_target_length or 0
    if target > limit:
        message, hint = f"{target} tokens are more than the model can write", f"set it to {limit} at most"
        raise ModelUnsuitable(message, where="spec.data.maxTargetLength", hint=hint)
    return resolved.model_copy(update={"max_length": min(resolved.max_length, limit)})
