"""Passes over rows that are halved where they do not fit into memory."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from finetune_api.failures import OutOfMemory
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import cut_by_tokens
from finetune_trainer.memory.failure import is_out_of_memory, release_memory
from finetune_trainer.observer import PassLimit

_HINT = (
    "lower spec.data.maxLength, set training.activationCheckpointing, use LoRA or QLoRA, or give the job more memory"
)

Result = TypeVar("Result")


def padded_tokens(rows: Rows, lengths: NDArray[np.int64]) -> int:
    """Tokens of a pass over rows, padding included."""
    return len(rows) * max(1, int(lengths[rows].max(initial=1)))


def row_too_large(tokens: int, reason: str) -> OutOfMemory:
    """The failure of a row that does not fit on its own."""
    return OutOfMemory(f"one row of {tokens} tokens alone does not fit into memory: {reason}", hint=_HINT)


def tried(pass_over: Callable[[], Result]) -> tuple[Result | None, str]:
    """Result of a pass and no reason; or None, and why memory could not be allocated."""
    try:
        return pass_over(), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0] or "no message"
    release_memory()  # only now: what was raised held the tensors of the pass
    return None, reason


def over_fitting_parts(
    kind: str, lengths: NDArray[np.int64], budget: int, limit: PassLimit, pass_over: Callable[[Rows], Result]
) -> list[tuple[Rows, Result]]:
    """Results of passes of at most `budget` padded tokens over all rows, each with its rows.

    A pass that does not fit into memory is halved, as are all of its `kind` that follow, in later calls with the same
    `limit` too.
    Raises `OutOfMemory` for a row that does not fit on its own.
    """
    waiting = list(cut_by_tokens(np.arange(len(lengths)), lengths, min(budget, limit.tokens.get(kind, budget))))
    done = list[tuple[Rows, Result]]()
    while waiting:
        part = waiting.pop(0)
        result, reason = tried(partial(pass_over, part))
        if result is not None:
            done.append((part, result))
            continue
        if len(part) == 1:
            raise row_too_large(padded_tokens(part, lengths), reason)
        half = limit.halve(kind, padded_tokens(part, lengths))
        waiting = list(cut_by_tokens(np.concatenate([part, *waiting]), lengths, half))
    return done
