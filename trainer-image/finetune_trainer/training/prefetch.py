"""Collation beside the step: while a pass is computed, a thread makes the inputs of the next."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import torch
from torch import Tensor

from finetune_trainer.data.sampler import Rows

Inputs = dict[str, Tensor]
Collate = Callable[[Rows], Inputs]


def device_inputs(collate: Collate, parts: Iterator[Rows], device: torch.device) -> Generator[Inputs]:
    """Inputs of each part in order, on a device.

    For a GPU, those of the next part are made in pinned memory by a thread, and copied while the GPU computes. On a CPU
    the thread would take what the step needs.
    """
    if device.type != "cuda":
        for part in parts:
            yield _moved(collate(part), device)
        return
    for inputs in one_ahead(lambda part: _pinned(collate(part)), parts):
        yield _moved(inputs, device)


def one_ahead(collate: Collate, parts: Iterator[Rows]) -> Generator[Inputs]:
    """What `collate` makes of each part in order, the next one by a thread in the meantime; raises what it raises."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="collate") as worker:
        waiting = deque([worker.submit(collate, part) for part in islice(parts, 1)])
        while waiting:
            inputs = waiting.popleft().result()
            waiting.extend(worker.submit(collate, part) for part in islice(parts, 1))
            yield inputs


def _pinned(inputs: Inputs) -> Inputs:
    return {name: tensor.pin_memory() for name, tensor in inputs.items()}


def _moved(inputs: Inputs, device: torch.device) -> Inputs:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
