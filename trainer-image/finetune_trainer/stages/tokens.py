"""Tokens of all splits of a job, and the data report's statistics on them."""

from dataclasses import replace
from typing import TYPE_CHECKING

from finetune_api.data_report import DataReport
from finetune_trainer.cache import cache_folder
from finetune_trainer.data import Examples
from finetune_trainer.data.splits import TRAIN
from finetune_trainer.data.tokenising.tokens import Tokens, describe_lengths
from finetune_trainer.data.tokenising.vocabulary import describe_vocabulary
from finetune_trainer.observer import RunObserver
from finetune_trainer.tasks.mixed import tokenise_sources
from finetune_trainer.tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MOST_CHARACTERS = 20_000_000
"""Characters of rows that a check looks at: about ten seconds of tokenising."""


def tokenise_splits(
    task: Task, tokenizer: "PreTrainedTokenizerBase", max_length: int, observer: RunObserver
) -> dict[str, Tokens]:
    """All splits as tokens, within `max_length` each, cached.

    Raises what says that rows and tokenizer don't go together.
    """
    tokens, cache = {}, cache_folder("tokens")
    total = sum(len(examples.texts) for examples in task.data.splits.values())
    with observer.working("tokenising", total) as advance:
        for split in task.data.splits:
            tokens[split] = tokenise_sources(task, split, tokenizer, max_length, cache=cache, advance=advance)
    return tokens


def sample_evenly(task: Task) -> tuple[Task, int]:
    """The task on every n-th row of each split, to bound the time; and n, mostly 1."""
    splits = task.data.splits
    every = max(1, -(-sum(map(_characters, splits.values())) // _MOST_CHARACTERS))
    if every == 1:
        return task, 1
    fewer = {name: rows.pick(range(0, len(rows), every)) for name, rows in splits.items()}
    return replace(task, data=replace(task.data, splits=fewer)), every


def _characters(rows: Examples) -> int:
    answers = sum(len(label) for label in rows.labels if isinstance(label, str))
    chats = sum(len(turn.content) + len(turn.more) for chat in rows.turns for turn in chat)
    return answers + chats + sum(map(len, rows.texts)) + sum(map(len, rows.pairs or ()))


def report_with_tokens(
    task: Task, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", max_length: int, every: int = 1
) -> DataReport:
    """The data report with lengths in tokens of every n-th row, and with the task's token statistics."""
    splits = {
        name: report.model_copy(update={"lengths": describe_lengths(tokens[name], max_length, every)})
        for name, report in task.data.report.splits.items()
    }
    report = task.describe_tokens(task.data.report.model_copy(update={"splits": splits}), tokens, tokenizer, max_length)
    return describe_vocabulary(report, task.data.splits.get(TRAIN), tokens, tokenizer)


def highest_token_id(tokens: dict[str, Tokens]) -> int:
    """Highest token id, of targets too."""
    whole = [*tokens.values(), *(part.outputs for part in tokens.values() if part.outputs is not None)]
    return max(int(part.ids.max()) for part in whole)
