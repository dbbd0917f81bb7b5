"""Target modules: from a job's lists of names to modules of a model."""

from typing import TYPE_CHECKING

from finetune_api.failures import ModelUnsuitable
from finetune_trainer.models.module_names import body_linears

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def chosen_modules(model: "PreTrainedModel", ends: list[str], field: str) -> list[str]:
    """Full names of the linear modules of the body with these last names; all of them for an empty list.

    Raises `ModelUnsuitable`, about `field`, for an end that names nothing in this model.
    """
    linears = body_linears(model)
    if not ends:
        return linears
    unknown = [end for end in ends if not any(_ends(name, end) for name in linears)]
    if unknown:
        there = ", ".join(sorted({name.rpartition(".")[2] for name in linears}))
        message = f"no linear module of this model is named {', '.join(unknown)}"
        hint = f"linear modules of the base end in: {there}; leave the list empty to have them chosen"
        raise ModelUnsuitable(message, where=field, hint=hint)
    return [name for name in linears if any(_ends(name, end) for end in ends)]


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")
