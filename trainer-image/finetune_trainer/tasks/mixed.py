"""Rows of several sources: tokens, sampler, and metrics per source."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune_api import tasks
from finetune_api.data import RowOrder
from finetune_api.details import GroupRow
from finetune_trainer.data.mixing import mixing_shares, source_names
from finetune_trainer.data.sampler import Sampler
from finetune_trainer.data.tokenising.job_prompts import naming_the_row
from finetune_trainer.data.tokenising.tokens import Tokens, join
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.groups import ENOUGH
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.inference import Outputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOSS = "evalLoss"


def tokenise_sources(
    task: Task, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, *, cache: Path, advance: Advance
) -> Tokens:
    """Tokenise a split, with the source of each row; raw text of different sources is never concatenated.

    Raises what `Task.tokenise` raises; where the chat template is at fault, with file and line of a row.
    """
    with naming_the_row(task.data.splits[split], task.spec, task.data.report, tokenizer):
        return _tokenise(task, split, tokenizer, max_length, cache=cache, advance=advance)


def _tokenise(
    task: Task, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, *, cache: Path, advance: Advance
) -> Tokens:
    members = _members(task.data.splits[split].sources)
    if not _cuts_rows(task) or len(members) == 1:
        tokens = task.tokenise(split, tokenizer, max_length, cache, advance)
        rows = np.asarray(task.data.splits[split].sources, np.int64)
        return replace(
            tokens, sources=rows if len(members) > 1 else np.full(len(tokens) // tokens.texts_a_row, rows[0])
        )
    parts = [
        replace(task, data=task.data.part(split, rows.tolist())).tokenise(split, tokenizer, max_length, cache, advance)
        for rows in members.values()
    ]
    return replace(join(parts), sources=np.repeat(list(members), [len(part) for part in parts]))


def sampler_of(task: Task, tokens: Tokens, lengths: NDArray[np.int64], rows_in_all: int) -> Sampler | None:
    """Sampler of the training rows; None for every row once per epoch, shuffled."""
    data, sources = task.spec.data, tokens.sources
    shares = mixing_shares(data.train) if len(data.train) > 1 else None
    if sources is None or (data.order is RowOrder.SHUFFLED and shares is None):
        return None
    rated = bool(data.columns.difficulty)
    difficulty = np.asarray(task.data.splits["train"].difficulties, np.float64) if rated else lengths
    return Sampler(
        order=data.order,
        sources=sources,
        difficulty=difficulty.astype(np.float64),
        seed=task.spec.training.seed,
        shares=shares,
        rows_in_all=rows_in_all,
    )


class Validation:
    """Evaluates the validation rows, and remembers the loss per source."""

    def __init__(self, task: Task, tokens: Tokens, look: Callable[[], Outputs]) -> None:
        """Take the tokens of the rows, and the function that computes outputs."""
        self._task, self._tokens, self._look = task, tokens, look
        self._losses: dict[str, float] = {}

    def measure(self) -> dict[str, float]:
        """All metrics of the current model."""
        outputs = self._look()
        found = metrics_by_source(self._task, "validation", self._tokens, outputs, None)
        self._losses = {row.group: row.metrics[_LOSS] for row in found if _LOSS in row.metrics}
        return self._task.measure("validation", outputs)

    def losses(self) -> dict[str, float]:
        """Loss by source at the last evaluation; empty for a single source."""
        return self._losses


def metrics_by_source(
    task: Task, split: str, tokens: Tokens, outputs: Outputs, baseline: Outputs | None
) -> list[GroupRow]:
    """Metrics on the rows of each source of a split, before and after training; empty for a single source."""
    examples = _members(task.data.splits[split].sources)
    if tokens.sources is None or len(examples) == 1:
        return []
    names = source_names(getattr(task.spec.data, split) or task.spec.data.train)
    found = []
    for number, rows in examples.items():
        part = replace(task, data=task.data.part(split, rows.tolist()))
        own = np.flatnonzero(tokens.sources == number)
        after, before = (_measured(part, split, own, len(tokens.sources), said) for said in (outputs, baseline))
        few = len(rows) < ENOUGH
        found.append(GroupRow(group=names[number], rows=len(rows), few=few, metrics=after, baseline=before))
    return found


def _measured(part: Task, split: str, rows: NDArray[np.int64], count: int, outputs: Outputs | None) -> dict[str, float]:
    """Metrics from outputs of some of `count` rows; samples of raw text belong to no row."""
    own = {name: values[rows] for name, values in (outputs or {}).items() if len(values) == count}
    return part.measure(split, own) if own else {}


def _members(sources: Sequence[int]) -> dict[int, NDArray[np.int64]]:
    numbers = np.asarray(sources, np.int64)
    return {int(number): np.flatnonzero(numbers == number) for number in np.unique(numbers)}


def _cuts_rows(task: Task) -> bool:
    """Whether training rows are blocks of raw text, not rows of files."""
    is_language = task.spec.task in {tasks.Task.CAUSAL_LM, tasks.Task.MASKED_LM}
    return is_language and "text" in task.data.report.columns
