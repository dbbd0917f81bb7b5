"""Which class of transformers fits a task, and whether it knows an architecture."""

from typing import Any

from finetune_api.failures import ModelUnsuitable
from finetune_api.tasks import Task

_CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: ("AutoModelForSequenceClassification", "sequence classification"),
    Task.TOKEN_CLASSIFICATION: ("AutoModelForTokenClassification", "token classification"),
    Task.SEQ2SEQ: ("AutoModelForSeq2SeqLM", "sequence to sequence"),
    Task.CAUSAL_LM: ("AutoModelForCausalLM", "causal language modelling"),
    Task.MASKED_LM: ("AutoModelForMaskedLM", "masked language modelling"),
    Task.PREFERENCE: ("AutoModelForCausalLM", "causal language modelling"),
    Task.POLICY_OPTIMIZATION: ("AutoModelForCausalLM", "causal language modelling"),
    Task.REWARD_MODEL: ("AutoModelForSequenceClassification", "sequence classification"),
    Task.POLICY_OPTIMIZATION: ("AutoModelForCausalLM", "causal language modelling"),
}
"""Name of the class, and what it does in words."""


def auto_class(task: Task) -> Any:
    """The `AutoModelFor...` class of a task."""
    import transformers

    return getattr(transformers, _CLASSES[task][0])


def check_class(config: Any, task: Task, uri: str) -> None:
    """Raise `ModelUnsuitable` where transformers has no model for the task with this architecture."""
    if type(config) not in auto_class(task)._model_mapping:  # noqa: SLF001 -- its public twins are one constant a class
        message = f"{uri}: transformers has no {_CLASSES[task][1]} for {config.model_type} models"
        hint = "use a model of another architecture, or another task"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=hint)


def task_of(model: Any) -> Task:
    """A task whose class of transformers the model is of."""
    return next(task for task in _CLASSES if type(model) in auto_class(task)._model_mapping.values())  # noqa: SLF001 -- as above
