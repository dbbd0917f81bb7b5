"""Per-row cross-entropy and top-1 accuracy on labelled tokens."""

from collections.abc import Callable
from math import exp, isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.observer import Monitor
from finetune_trainer.training.inference import Outputs, run_rows
from finetune_trainer.training.speedups.labelled_logits import labelled_logits

LOSS, TOKENS, HITS = "loss", "tokens", "hits"
_HIGHEST_EXPONENT = 80  # e to the power of more is no figure that anybody reads


def evaluate_tokens(
    model: nn.Module,
    rows: RowSource,
    monitor: Monitor | None = None,
    *,
    shift: bool,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda batch: batch,
) -> Outputs:
    """Per-row sums over labelled tokens, each [n]: `loss` in nats, `tokens`, and `hits`, those with the highest logit.

    With `shift` the logits at a position are those of the next token. `change` is applied to each collated batch before
    the forward pass. Raises `KeyboardInterrupt` where `monitor` is asked to stop.
    """

    def look(batch: dict[str, Tensor]) -> Outputs:
        return token_scores(model, change(batch), shift=shift)

    return run_rows(model, rows, look, monitor)


def token_scores(model: nn.Module, batch: dict[str, Tensor], *, shift: bool) -> Outputs:
    """As `evaluate_tokens`, for one collated batch on the model's device."""
    seen = labelled_logits(model, batch, shift=shift)
    losses, hits = seen.each(_loss_and_hit).double().unbind(dim=-1)
    return {
        LOSS: seen.row_sums(losses).cpu().numpy(),
        TOKENS: seen.mask.sum(dim=1).cpu().numpy(),
        HITS: seen.row_sums(hits).long().cpu().numpy(),
    }


def _loss_and_hit(logits: Tensor, labels: Tensor) -> Tensor:
    """Loss of each token, and 1 where its logit is the highest, [labelled, 2]."""
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return torch.stack([losses, (logits.argmax(dim=-1) == labels).float()], dim=-1)


def perplexity(loss: float) -> float:
    """Perplexity of a mean loss in nats; a large but finite number where the loss is very high."""
    return exp(min(loss, _HIGHEST_EXPONENT))


def token_metrics(outputs: Outputs) -> dict[str, float]:
    """`evalLoss`, `perplexity` and `tokenAccuracy` over all tokens; empty where the loss is not finite."""
    tokens = max(1, int(outputs[TOKENS].sum()))
    loss = float(outputs[LOSS].sum()) / tokens
    if not isfinite(loss):
        return {}
    return {
        "evalLoss": loss,
        "perplexity": perplexity(loss),
        "tokenAccuracy": float(outputs[HITS].sum()) / tokens,
    }
