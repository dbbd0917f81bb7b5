"""`spec.training.preference`: preference loss over chosen and rejected answers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel, Rule


class PreferenceLoss(StrEnum):
    """The losses over pairs; the name is that of the paper, or of its function."""

    DPO = "DPO"
    HINGE = "Hinge"
    IPO = "IPO"
    SIMPO = "SimPO"
    ORPO = "ORPO"


_BETAS = {
    PreferenceLoss.DPO: 0.1,
    PreferenceLoss.HINGE: 0.1,
    PreferenceLoss.IPO: 0.1,
    PreferenceLoss.SIMPO: 2.0,
    PreferenceLoss.ORPO: 0.1,
}
_MARGIN = 1.0
_WITH_REFERENCE = frozenset({PreferenceLoss.DPO, PreferenceLoss.HINGE, PreferenceLoss.IPO})
_SMOOTHED = frozenset({PreferenceLoss.DPO, PreferenceLoss.SIMPO})


class Preference(ApiModel):
    """Preference optimization: loss over pairs of a chosen and a rejected answer (as TRL's `DPOConfig`)."""

    rules = (
        Rule(
            cel="!has(self.margin) || (has(self.loss) && self.loss == 'SimPO')",
            holds=lambda p: p.margin is None or p.loss is PreferenceLoss.SIMPO,
            field="margin",
            message="margin belongs to loss SimPO; remove it or set loss: SimPO",
        ),
        Rule(
            cel="self.answerWeight == 0.0 || !has(self.loss) || self.loss != 'ORPO'",
            holds=lambda p: p.answer_weight == 0 or p.loss is not PreferenceLoss.ORPO,
            field="answerWeight",
            message="loss ORPO learns the preferred answer anyway; remove answerWeight or take another loss",
        ),
    )

    loss: PreferenceLoss = PreferenceLoss.DPO
    """Loss (`loss_type`). `DPO` (`sigmoid`, arXiv:2305.18290), `Hinge` (SLiC, arXiv:2305.10425) and `IPO`
    (arXiv:2310.12036) compare with the base model as reference model. `SimPO` (arXiv:2405.14734) and `ORPO`
    (arXiv:2403.07691) need no reference model."""

    beta: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Scale of the implicit rewards (`beta`); the higher, the closer the model stays to the reference model (ORPO:
    weight of the odds ratio). Default 0.1, with SimPO 2."""

    margin: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Target margin between the rewards of chosen and rejected answer (`simpo_gamma`). Default 1."""

    answer_weight: Annotated[float, Field(ge=0, le=1000)] = 0
    """Weight of an SFT loss on the chosen answer (TRL's `sft` loss, once `rpo_alpha`; RPO, arXiv:2404.19733): keeps the
    chosen answer from becoming unlikely together with the rejected one. 0 means none."""

    @property
    def scale(self) -> float:
        """`beta`, or the loss's default."""
        return _BETAS[self.loss] if self.beta is None else self.beta

    @property
    def target_margin(self) -> float:
        """`margin`, or the loss's default."""
        return _MARGIN if self.margin is None else self.margin

    @property
    def has_reference(self) -> bool:
        """Whether the loss uses a reference model."""
        return self.loss in _WITH_REFERENCE

    @property
    def can_be_smoothed(self) -> bool:
        """Whether the loss supports `training.labelSmoothing`."""
        return self.loss in _SMOOTHED
