"""Labels of language-model rows: truncation, and a sample with its labelled parts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from finetune_api.data_report import DataReport, Piece
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN = 256
"""Tokens of the sample at most."""
_LINE = 480
"""Characters of the sample in one line at most."""


def describe_training_tokens(
    report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", *, answers: bool
) -> DataReport:
    """The data report with a sample, and with warnings about rows that are truncated or have no labels.

    `answers` says that rows are prompts with answers; raw text is cut up, and nothing of it is lost.
    """
    splits = dict(report.splits)
    if not answers:
        splits = {name: part.model_copy(update={"blocks": len(tokens[name])}) for name, part in splits.items()}
    warnings = [*report.warnings, *(_about_answers(tokens) if answers else [])]
    sample = first_row(training_tokens(tokens), tokenizer)
    return report.model_copy(update={"splits": splits, "warnings": warnings, "sample": sample})


def training_tokens(tokens: dict[str, Tokens]) -> Tokens:
    """Tokens of the training rows; without training, of the available split."""
    return tokens.get("train") or next(iter(tokens.values()))


def first_row(tokens: Tokens, tokenizer: "PreTrainedTokenizerBase") -> list[Piece]:
    """The first row, decoded in stretches with and without labels."""
    start, end = int(tokens.offsets[0]), int(tokens.offsets[1])
    end = min(end, start + _SHOWN)
    ids, labels = tokens.ids[start:end], tokens.labels
    learned = np.ones(len(ids), bool) if labels is None else labels[start:end] != IGNORE_INDEX
    ends = [*(np.flatnonzero(np.diff(learned)) + 1), len(ids)]
    pieces, begin = list[Piece](), 0
    for stop in ends:
        text = tokenizer.decode(ids[begin:stop].tolist(), clean_up_tokenization_spaces=False)
        pieces.append(Piece(text=str(text), learned=bool(learned[begin])))
        begin = int(stop)
    return pieces


def sample_line(sample: Sequence[Piece]) -> str:
    """The sample on one line: labelled text stands between « and »; prompts to answer have none."""
    text = "".join(f"«{piece.text}»" if piece.learned else piece.text for piece in sample).replace("\n", "↵")
    if len(text) > _LINE:
        half = _LINE // 2
        text = f"{text[:half]} [...] {text[-half:]}"
    what = "training row, learned between « and »" if any(piece.learned for piece in sample) else "prompt"
    return f"first {what}: {text}"


def _about_answers(tokens: dict[str, Tokens]) -> list[str]:
    train = training_tokens(tokens)
    cut = train.full_lengths > train.lengths
    empty = int((train.counted == 0).sum())
    limit = int(train.lengths.max())
    answers_cut = int((cut & (train.counted >= limit - limit // 4)).sum())
    found = []
    if cut.any():
        more = f", and {answers_cut:,} of them the end of the answer" if answers_cut else ""
        found.append(
            f"{int(cut.sum()):,} training rows are longer than {limit:,} tokens (data.maxLength) and lose the middle of"
            f" their prompt{more}."
        )
    if empty:
        found.append(f"{empty:,} training rows have no token to learn and teach nothing.")
    return found
