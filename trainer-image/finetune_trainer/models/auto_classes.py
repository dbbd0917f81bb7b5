"""Auto classes of transformers by task, and their support of architectures."""

from typing import Any

from finetune_api.tasks import Task

_CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.SEQ2SEQ: "AutoModelForSeq2SeqLM",
    Task.CAUSAL_LM: "AutoModelForCausalLM",
    Task.MASKED_LM: "AutoModelForMaskedLM",
    Task.PREFERENCE: "AutoModelForCausalLM",
    Task.POLICY_OPTIMIZATION: "AutoModelForCausalLM",
    Task.REWARD_MODEL: "AutoModelForSequenceClassification",
}
"""Name of the class of each task."""


def auto_class(task: Task) -> Any:
    """The `AutoModelFor...` class of a task."""
    import transformers

    return getattr(transformers, _CLASSES[task])


def has_class(config: Any, task: Task) -> bool:
    """Whether transformers has a class for this task and architecture."""
    return type(config) in auto_class(task)._model_mapping  # noqa: SLF001 -- its public twins are one constant a class


def task_of(model: Any) -> Task:
    """A task whose transformers class the model has."""
    return next(task for task in _CLASSES if type(model) in auto_class(task)._model_mapping.values())  # noqa: SLF001 -- as above
