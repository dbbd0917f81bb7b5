"""Preference losses over pairs of answers (DPO, hinge, IPO, SimPO, ORPO) from sequence log-probabilities.

The formulas are those of the papers named in `finetune_api.preference`, as trl has them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from finetune_api.preference import Preference, PreferenceLoss
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.observer import Monitor
from finetune_trainer.training.inference import Outputs, run_rows
from finetune_trainer.training.losses.token_scores import LOSS, TOKENS, token_scores
from finetune_trainer.training.speedups.labelled_logits import labelled_logits

LOG_PROBABILITIES, REFERENCE = "logProbabilities", "reference"


@dataclass(frozen=True)
class Pairs:
    """Sequence log-probabilities of pairs of answers; each tensor is [pairs, 2], the chosen answer first."""

    log_probabilities: Tensor
    """Sums over the tokens of the answers, in nats."""
    tokens: Tensor
    """Number of tokens of each answer."""
    reference: Tensor | None = None
    """Log-probabilities under the base model, for losses with a reference."""

    @property
    def by_token(self) -> Tensor:
        """Mean log-probability per token."""
        return self.log_probabilities / self.tokens.clamp(min=1)


def rewards(pairs: Pairs, settings: Preference) -> Tensor:
    """Implicit reward of each answer, [pairs, 2].

    Against a reference it is `beta` times how much likelier the answer has become (by the mean token for IPO, so that
    long answers don't rule), else `beta` times the mean log-probability of its tokens.
    """
    if pairs.reference is None:
        return settings.scale * pairs.by_token
    gained = pairs.log_probabilities - pairs.reference
    return settings.scale * (gained / pairs.tokens.clamp(min=1) if settings.loss is PreferenceLoss.IPO else gained)


def pair_losses(pairs: Pairs, settings: Preference, smoothing: float = 0.0) -> Tensor:
    """Loss of each pair, [pairs]; `smoothing` is the assumed share of swapped pairs."""
    scores = rewards(pairs, settings)
    losses = _LOSSES[settings.loss](pairs, settings, scores[:, 0] - scores[:, 1], smoothing)
    return losses - settings.answer_weight * pairs.by_token[:, 0] if settings.answer_weight else losses


def _sigmoid(_pairs: Pairs, _settings: Preference, margin: Tensor, smoothing: float) -> Tensor:
    return ranking_losses(margin, smoothing)


def ranking_losses(margin: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log sigmoid of `margin` [pairs], with label smoothing (Bradley and Terry 1952), [pairs]."""
    losses = -functional.logsigmoid(margin)
    return losses if not smoothing else (1 - smoothing) * losses - smoothing * functional.logsigmoid(-margin)


def _hinge(_pairs: Pairs, _settings: Preference, margin: Tensor, _smoothing: float) -> Tensor:
    return functional.relu(1 - margin)


def _ipo(_pairs: Pairs, settings: Preference, margin: Tensor, _smoothing: float) -> Tensor:
    return (margin / settings.scale - 1 / (2 * settings.scale)) ** 2


def _simpo(_pairs: Pairs, settings: Preference, margin: Tensor, smoothing: float) -> Tensor:
    return ranking_losses(margin - settings.target_margin, smoothing)


def _orpo(pairs: Pairs, settings: Preference, _margin: Tensor, _smoothing: float) -> Tensor:
    by_token = pairs.by_token
    odds = by_token - torch.log1p(-by_token.exp().clamp(max=1 - 1e-7))
    return settings.scale * ranking_losses(odds[:, 0] - odds[:, 1]) - by_token[:, 0]


_LOSSES: dict[PreferenceLoss, Callable[[Pairs, Preference, Tensor, float], Tensor]] = {
    PreferenceLoss.DPO: _sigmoid,
    PreferenceLoss.HINGE: _hinge,
    PreferenceLoss.IPO: _ipo,
    PreferenceLoss.SIMPO: _simpo,
    PreferenceLoss.ORPO: _orpo,
}


class PairLoss:
    """Preference loss over pairs collated side by side; `reference` [n, 2] are the base model's log-probabilities."""

    def __init__(self, settings: Preference, smoothing: float, reference: Tensor | None) -> None:
        self._settings, self._smoothing, self._reference = settings, smoothing, reference

    def to(self, device: torch.device) -> "PairLoss":
        """See `Loss.to`."""
        return PairLoss(
            self._settings, self._smoothing, None if self._reference is None else self._reference.to(device)
        )

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`: the number of pairs."""
        return float(len(rows))

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:
        """See `Loss.total`: one pass for both answers."""
        seen = labelled_logits(model, inputs, shift=True)
        counted, log_probabilities = seen.mask.sum(dim=1), -seen.row_sums(seen.losses())
        reference = None
        if self._reference is not None:
            reference = self._reference[torch.from_numpy(rows).to(self._reference.device)]
        pairs = Pairs(side_by_side(log_probabilities), side_by_side(counted), reference)
        return pair_losses(pairs, self._settings, self._smoothing).sum()


def side_by_side(values: Tensor) -> Tensor:
    """Values of texts, chosen answers in the first half, as [pairs, 2]."""
    return values.view(2, -1).T


def sequence_logprobs(model: nn.Module, rows: RowSource, monitor: Monitor | None = None) -> Outputs:
    """Summed log-probabilities (`logProbabilities`, nats) and lengths (`tokens`) of answers, [n, 2], chosen first."""

    def look(batch: dict[str, Tensor]) -> Outputs:
        seen = token_scores(model, batch, shift=True)
        return {LOG_PROBABILITIES: _pairs_of(-seen[LOSS]), TOKENS: _pairs_of(seen[TOKENS])}

    return run_rows(model, rows, look, monitor)


def _pairs_of(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(2, -1).T


def pairs_from(outputs: Outputs) -> Pairs:
    """Outputs of `sequence_logprobs` as `Pairs`, with `reference` [n, 2] if present."""
    return Pairs(
        torch.from_numpy(np.ascontiguousarray(outputs[LOG_PROBABILITIES], np.float64)),
        torch.from_numpy(np.ascontiguousarray(outputs[TOKENS])),
        torch.from_numpy(np.ascontiguousarray(outputs[REFERENCE])) if REFERENCE in outputs else None,
    )


def share_ahead(scores: Tensor) -> float:
    """Share of pairs with the higher score on the chosen answer, ties count half; `scores` is [pairs, 2]."""
    ahead = scores[:, 0] - scores[:, 1]
    return float(((ahead > 0).double() + (ahead == 0).double() / 2).mean())
