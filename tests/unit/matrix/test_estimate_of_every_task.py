"""`estimate` follows a training step of every task by every method without values of weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_api.tasks import BUILT, MethodType, Task

TASKS = tuple(BUILT)


def test_each_is_estimated(
    task: Task, method: MethodType, write_job: Callable[[Task, MethodType], Path], cli: Callable[..., Any]
) -> None:
    ended = cli("estimate", write_job(task, method), "--json")
    found = json.loads(ended.out)
    assert ended.code == 0, found
    assert found["unknown"] is None
    assert found["peakBytes"] > 0
    frozen = method in (MethodType.FEATURE_EXTRACTION, MethodType.MERGE)
    assert frozen or found["phases"]["train"]["device"]["activations"] > 0
