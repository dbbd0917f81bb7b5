"""Inputs of passes are made one ahead by a thread, in order; what goes wrong there is raised in the loop."""

import threading

import numpy as np
import pytest
import torch

from finetune_trainer.data.sampler import Rows
from finetune_trainer.training.prefetch import device_inputs, one_ahead

PARTS = [np.asarray([number, number + 1]) for number in range(6)]


def collate(rows: Rows) -> dict[str, torch.Tensor]:
    return {"rows": torch.from_numpy(rows)}


def test_parts_come_in_order() -> None:
    ahead = [inputs["rows"].tolist() for inputs in one_ahead(collate, iter(PARTS))]
    plain = [inputs["rows"].tolist() for inputs in device_inputs(collate, iter(PARTS), torch.device("cpu"))]
    assert ahead == plain == [part.tolist() for part in PARTS]
    assert list(one_ahead(collate, iter([]))) == []


def test_one_part_is_made_while_another_is_used() -> None:
    made = {number: threading.Event() for number in range(6)}

    def note(rows: Rows) -> dict[str, torch.Tensor]:
        made[int(rows[0])].set()
        return collate(rows)

    parts = one_ahead(note, iter(PARTS))
    next(parts)
    assert made[1].wait(timeout=10)
    assert not made[2].is_set(), "no more than one is in memory"
    parts.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("collate")]


def test_failures_are_raised() -> None:
    def fail(rows: Rows) -> dict[str, torch.Tensor]:
        if rows[0] == 2:
            raise ValueError(rows)
        return collate(rows)

    parts = one_ahead(fail, iter(PARTS))
    next(parts), next(parts)
    with pytest.raises(ValueError, match="2 3"):
        next(parts)
