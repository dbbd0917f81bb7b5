"""`spec.training.preference`: what is minimised over pairs of answers, of which one is preferred."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel, Rule


class PreferenceLoss(StrEnum):
    """The losses over pairs; the name is that of the paper, or of its function."""

    SIGMOID = "Sigmoid"
    HINGE = "Hinge"
    IPO = "IPO"
    SIMPO = "SimPO"
    ORPO = "ORPO"


_BETAS = {
    PreferenceLoss.SIGMOID: 0.1,
    PreferenceLoss.HINGE: 0.1,
    PreferenceLoss.IPO: 0.1,
    PreferenceLoss.SIMPO: 2.0,
    PreferenceLoss.ORPO: 0.1,
}
_MARGIN = 1.0
_WITH_REFERENCE = frozenset({PreferenceLoss.SIGMOID, PreferenceLoss.HINGE, PreferenceLoss.IPO})
_SMOOTHED = frozenset({PreferenceLoss.SIGMOID, PreferenceLoss.SIMPO})


class Preference(ApiModel):
    """How the preferred answer is to win over the other."""

    rules = (
        Rule(
            cel="!has(self.margin) || self.loss == 'SimPO'",
            holds=lambda p: p.margin is None or p.loss is PreferenceLoss.SIMPO,
            field="margin",
            message="margin belongs to loss SimPO; remove it or set loss: SimPO",
        ),
        Rule(
            cel="self.answerWeight == 0.0 || self.loss != 'ORPO'",
            holds=lambda p: p.answer_weight == 0 or p.loss is not PreferenceLoss.ORPO,
            field="answerWeight",
            message="loss ORPO learns the preferred answer anyway; remove answerWeight or take another loss",
        ),
    )

    loss: PreferenceLoss = PreferenceLoss.SIGMOID
    """`Sigmoid` (DPO, arXiv:2305.18290), `Hinge` (SLiC, arXiv:2305.10425), `IPO` (arXiv:2310.12036): against the model
    as it came. `SimPO` (arXiv:2405.14734), `ORPO` (arXiv:2403.07691): without a reference."""

    beta: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Scale of the rewards; the higher, the less the model may move away from the reference (ORPO: weight of the odds
    ratio). Default 0.1, with SimPO 2."""

    margin: Annotated[float, Field(ge=0, le=1000)] | None = None
    """By how much the reward of the preferred answer should be higher (SimPO's gamma). Default 1."""

    answer_weight: Annotated[float, Field(ge=0, le=1000)] = 0
    """Weight of a further term, the mean loss of a token of the preferred answer: keeps it from getting unlikely
    together with the other (RPO, arXiv:2404.19733). 0 means none."""

    @property
    def scale(self) -> float:
        """`beta`, or its default for this loss."""
        return _BETAS[self.loss] if self.beta is None else self.beta

    @property
    def target_margin(self) -> float:
        """`margin`, or its default."""
        return _MARGIN if self.margin is None else self.margin

    @property
    def has_reference(self) -> bool:
        """Whether the loss looks at the model as it came."""
        return self.loss in _WITH_REFERENCE

    @property
    def can_be_smoothed(self) -> bool:
        """Whether `training.labelSmoothing` means something to the loss."""
        return self.loss in _SMOOTHED
