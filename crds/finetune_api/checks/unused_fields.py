"""Checks of fields that the job's task ignores."""

from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from finetune_api.data import Labels
from finetune_api.evaluation import Generation
from finetune_api.failures import Problem
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_api.training import ClassWeights, Packing

_CLASSIFICATION = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION})
_WRITING = frozenset({Task.SEQ2SEQ, Task.CAUSAL_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})
_PROMPTED = frozenset({Task.CAUSAL_LM, Task.PREFERENCE, Task.REWARD_MODEL, Task.POLICY_OPTIMIZATION})
_FOR: tuple[tuple[str, str, object, frozenset[Task]], ...] = (
    ("data", "labels", Labels(), _CLASSIFICATION),
    ("data", "max_target_length", None, frozenset({Task.SEQ2SEQ})),
    ("data", "prompt_template", None, _PROMPTED),
    ("data", "chat_template", None, _PROMPTED),
    ("training", "loss_on", None, frozenset({Task.CAUSAL_LM})),
    ("training", "packing", Packing.AUTO, frozenset({Task.CAUSAL_LM})),
    ("training", "preference", None, frozenset({Task.PREFERENCE})),
    ("training", "policy", None, frozenset({Task.POLICY_OPTIMIZATION})),
    ("training", "class_weights", ClassWeights.NONE, frozenset({Task.SEQUENCE_CLASSIFICATION})),
    ("evaluation", "generation", Generation(), _WRITING),
)
"""Block, field, the value that says nothing, and the tasks that look at the field."""


def unused_fields(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each field set that the task ignores."""
    for block, name, unset, tasks in _FOR:
        if spec.task not in tasks and getattr(getattr(spec, block), name) != unset:
            users = ", ".join(task for task in Task if task in tasks)
            yield Problem(
                f"{spec.task} has no use for this", f"spec.{block}.{to_camel(name)}", f"remove it; it is for {users}"
            )
