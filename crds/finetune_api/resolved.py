"""Defaults that depend on task and method: the spec's choices with every gap filled."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.tasks import MethodType, Task

if TYPE_CHECKING:
    from finetune_api.job import Spec


class Resolved(ApiModel):
    """The values in force where the spec left the choice open."""

    epochs: Annotated[float, Field(gt=0)]
    """Passes over the training rows."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak learning rate."""
    batch_size: Annotated[int, Field(ge=1)]
    """Rows an optimiser step."""
    max_length: Annotated[int, Field(ge=1)]
    """Longest input in tokens."""


DEFAULTS: dict[Task, dict[MethodType, Resolved]] = {
    Task.SEQUENCE_CLASSIFICATION: {
        MethodType.FULL: Resolved(epochs=4, learning_rate=5e-5, batch_size=16, max_length=256),
        MethodType.LORA: Resolved(epochs=6, learning_rate=1e-3, batch_size=16, max_length=256),
        MethodType.FEATURE_EXTRACTION: Resolved(epochs=40, learning_rate=1e-3, batch_size=32, max_length=256),
    },
}
"""Found by measuring (`benchmarks/quality`): good results without tuning on small and middling data."""


def resolve(spec: "Spec") -> Resolved:
    """Fill the gaps of `spec` with the defaults of its task and method.

    Raises `KeyError` for a combination that is not built; check `support` first.
    """
    defaults = DEFAULTS[spec.task][spec.method.type]
    given = {
        "epochs": spec.training.epochs,
        "learning_rate": spec.training.learning_rate,
        "batch_size": spec.training.batch_size,
        "max_length": spec.data.max_length,
    }
    return defaults.model_copy(update={name: value for name, value in given.items() if value is not None})
