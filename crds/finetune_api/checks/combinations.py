"""Combinations of task and method that are impossible, with the reason; others not built yet are planned."""

from finetune_api.tasks import VIRTUAL_TOKENS, MethodType, Task

_NO_HEAD = "the output layer of a language model belongs to its base, so there is no head to train alone"
_NO_TOKENS = "virtual tokens would stay behind with the adapter, while the point is to adapt the model itself"
_WRITERS = (Task.SEQ2SEQ, Task.CAUSAL_LM, Task.MASKED_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION)

WHY_NOT: dict[Task, dict[MethodType, str]] = {
    task: {
        **({MethodType.FEATURE_EXTRACTION: _NO_HEAD} if task in _WRITERS else {}),
        **(dict.fromkeys(VIRTUAL_TOKENS, _NO_TOKENS) if task is Task.MASKED_LM else {}),
    }
    for task in Task
}
"""The reason by task and method."""
