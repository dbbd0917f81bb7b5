"""Termination message: outcome of a container as JSON of at most 4 KiB. Readers do not trust it."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from finetune_api.base import ApiModel, ShortText
from finetune_api.outcome import Artifacts, EvaluationResult, FailureInfo, Message, Outcome, cut
from finetune_api.resolved import Resolved
from finetune_api.status import CheckpointInfo
from finetune_api.stored import read_stored_json

TERMINATION_BYTES = 4096
"""The kubelet cuts what is longer."""
_SHORT = 200
"""Characters of a text that must make room."""


class Termination(ApiModel):
    """How a run ended."""

    format: Literal["finetune.dev/termination/v1"] = "finetune.dev/termination/v1"
    uid: ShortText
    """UID of the FineTuneJob."""
    attempt: Annotated[int, Field(ge=0)] = 0
    """Number of the claim that the run wrote under; 0 where it got none."""
    outcome: Outcome
    """How it ended."""
    failure: FailureInfo | None = None
    """Why it failed."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Last optimiser step that it reached."""
    resumed_from: Annotated[int, Field(ge=0)] | None = None
    """Step that it resumed from."""
    checkpoint: CheckpointInfo | None = None
    """The newest checkpoint that is committed."""
    evaluation: EvaluationResult | None = None
    """What was measured on the test rows."""
    artifacts: Artifacts = Field(default_factory=Artifacts)
    """Where the results are. A digest means that the final manifest was read back."""
    resolved: Resolved | None = None
    """Values in force where the spec left the choice to defaults."""
    data: Message = ""
    """The checked data in a sentence."""

    def encode(self) -> str:
        """Encode as JSON within the limit, dropping what the report contains too, least important first."""
        message, text = self, _json(self)
        for leave_out in _LEAST_IMPORTANT_FIRST:
            if len(text.encode()) <= TERMINATION_BYTES:
                break
            message = leave_out(message)
            text = _json(message)
        return text

    @classmethod
    def decode(cls, text: str) -> "Termination | None":
        """Parse a message of any version; None for anything else, such as the tail of a log."""
        if len(text.encode()) > TERMINATION_BYTES:
            return None
        try:
            return read_stored_json(cls, text)
        except ValidationError:
            return None


def _without_figures_per_class(message: Termination) -> Termination:
    return _with_evaluation(message, lambda name: "." not in name)


def _without_figures(message: Termination) -> Termination:
    gates = {gate.metric for gate in message.evaluation.gates} if message.evaluation else set()
    return _with_evaluation(message, lambda name: name in gates)


def _without_texts(message: Termination) -> Termination:
    failure = message.failure
    if failure is not None:
        failure = failure.model_copy(
            update={"message": cut(failure.message, _SHORT), "hint": cut(failure.hint, _SHORT)}
        )
    return message.model_copy(update={"failure": failure, "data": "", "resolved": None})


def _without_evaluation(message: Termination) -> Termination:
    return message.model_copy(update={"evaluation": None})


def _without_addresses(message: Termination) -> Termination:
    return message.model_copy(update={"artifacts": Artifacts(digest=message.artifacts.digest)})


_LEAST_IMPORTANT_FIRST = (
    _without_figures_per_class,
    _without_figures,
    _without_texts,
    _without_evaluation,
    _without_addresses,
)


def _json(message: Termination) -> str:
    return message.model_dump_json(by_alias=True, exclude_none=True)


def _with_evaluation(message: Termination, keep: Callable[[str], bool]) -> Termination:
    """The message with only the metrics whose names `keep` accepts."""
    if message.evaluation is None:
        return message
    return message.model_copy(update={"evaluation": message.evaluation.only(keep)})
