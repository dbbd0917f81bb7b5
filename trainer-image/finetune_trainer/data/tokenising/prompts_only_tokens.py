"""Tokenised prompts with room for generated answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune_api.data_report import DataReport, Piece
from finetune_trainer.data.chat import Chat, chat_columns
from finetune_trainer.data.tokenising.learned import first_row
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.prompt_tokens import encode_openings
from finetune_trainer.data.tokenising.tokens import Tokens, cached, content_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 500


def tokenise_prompts_only(
    rows: Sequence[Chat],
    form: PromptFormat,
    tokenizer: "PreTrainedTokenizerBase",
    limit: int,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Prompts within `limit` tokens; longer ones lose their middle. Rows end with the generation prompt."""

    def make() -> Tokens:
        whole, full = list[list[int]](), list[int]()
        for start in range(0, len(rows), _CHUNK):
            part = encode_openings(rows[start : start + _CHUNK], form, tokenizer, _ANY_LENGTH)
            full.extend(map(len, part))
            whole.extend(encode_openings(rows[start : start + _CHUNK], form, tokenizer, limit))
            advance(len(part))
        offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in whole])]).astype(np.int64)
        return Tokens(
            np.asarray([token for ids in whole for token in ids], np.int32), offsets, np.asarray(full, np.int32)
        )

    settings = ("asked", limit, *form.cache_key, [len(chat) for chat in rows])
    key = content_key(tokenizer, settings, *chat_columns(rows))
    return cached(key, cache, len(rows), advance, make)


def describe_prompts_only(
    report: DataReport, train: Tokens, tokenizer: "PreTrainedTokenizerBase", limit: int
) -> DataReport:
    """The data report with the first prompt, and with a warning about truncated prompts."""
    cut = int((train.full_lengths > train.lengths).sum())
    warning = f"{cut:,} training prompts are longer than {limit:,} tokens and lose their middle; raise data.maxLength."
    sample = [Piece(text=piece.text, learned=False) for piece in first_row(train, tokenizer)]
    return report.model_copy(
        update={"warnings": [*report.warnings, *([warning] if cut else [])], "sample": sample},
    )


_ANY_LENGTH = 1 << 40
