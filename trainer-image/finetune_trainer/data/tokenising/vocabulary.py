"""Vocabulary coverage of a tokenizer: unknown tokens, and words split into single characters."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from finetune_api.data_report import DataReport, SplitReport, Vocabulary
from finetune_trainer.data.chat import ASSISTANT
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.reading.rows import shown
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MOST_WORDS = 200_000
"""Words of the training rows that are looked at, and different ones that are tokenised: about a second."""
_MOST_DIFFERENT = 20_000
_UNKNOWN_INPUTS = 0.05
"""Share of unknown words of inputs from which that is worth a warning: a few emoji are nothing."""
_SPELLED_INPUTS = 0.5
_LETTERS = 4
"""Letters of a word from which it can be spelled; short ones are mostly a token a letter anyway."""
_SMALLEST = 2_000
"""Tokens of a vocabulary below which it has letters or bytes by design."""
_NAMED = 5
_SIGNS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, Kana and Han: scripts without spaces between words."""
_WORD = re.compile(rf"[{_SIGNS}]|[^\s{_SIGNS}]+")
"""A word; of scripts without spaces, a sign."""


def describe_vocabulary(
    report: DataReport, train: Examples | None, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase"
) -> DataReport:
    """The data report with unknown tokens by split, and with the tokenisation of words of training rows.

    `train` has the training rows; None where nothing is trained.
    """
    unknown = unknown_id(tokenizer)
    splits = {
        name: split if unknown is None else _counted(split, tokens[name], unknown)
        for name, split in report.splits.items()
    }
    words = None if train is None else _vocabulary(train, tokenizer, unknown)
    missing = (
        Counter[str]() if train is None or unknown is None else _unknown_targets(train, tokens, tokenizer, unknown)
    )
    warnings = [*report.warnings, *_about_targets(splits, missing), *_about_words(words, tokenizer)]
    return report.model_copy(update={"splits": splits, "vocabulary": words, "warnings": warnings})


def unknown_id(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Id of the unknown token; None where another special token has the same id, as in GPT-2."""
    unknown = tokenizer.unk_token_id
    used = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id}
    return None if unknown is None or unknown in used else int(unknown)


def _counted(split: SplitReport, tokens: Tokens, unknown: int) -> SplitReport:
    found = tokens.ids == unknown
    outputs = 0 if tokens.outputs is None else int((tokens.outputs.ids == unknown).sum())
    learned = np.zeros(len(found), bool) if not _has_answers(tokens) else tokens.labels != IGNORE_INDEX
    return split.model_copy(
        update={
            "unknown_tokens": int((found & ~learned).sum()),
            "unknown_target_tokens": outputs + int((found & learned).sum()),
        }
    )


def _has_answers(tokens: Tokens) -> bool:
    """Whether labels are target tokens, not tags of words."""
    if tokens.labels is None:
        return False
    labelled = tokens.labels != IGNORE_INDEX
    return bool((tokens.labels[labelled] == tokens.ids[labelled]).all())


def _vocabulary(train: Examples, tokenizer: "PreTrainedTokenizerBase", unknown: int | None) -> Vocabulary:
    counts = Counter(_some_words(_inputs(train)))
    different = [word for word, _ in counts.most_common(_MOST_DIFFERENT)]
    encoded = _encoded(different, tokenizer)
    lost = [word for word, ids in zip(different, encoded, strict=True) if unknown in ids]
    spelled = [
        word for word, ids in zip(different, encoded, strict=True) if unknown not in ids and _is_spelled(word, ids)
    ]
    total = max(1, sum(counts[word] for word in different))
    if len(tokenizer) < _SMALLEST:
        spelled = []
    return Vocabulary(
        words=total,
        unknown=sum(counts[word] for word in lost) / total,
        spelled=sum(counts[word] for word in spelled) / total,
        unknown_examples=lost[:_NAMED],
        spelled_examples=spelled[:_NAMED],
    )


def _is_spelled(word: str, ids: Sequence[int]) -> bool:
    """Whether a word has one token or more per character (byte tokens), so that its meaning is that of its parts."""
    if len(word) == 1:
        return len(ids) > 1 and re.fullmatch(f"[{_SIGNS}]", word) is not None
    return len(word) >= _LETTERS and word.isalpha() and len(ids) >= len(word)


def _inputs(rows: Examples) -> Iterator[str]:
    """Input texts, sampled evenly over the rows."""
    step = max(1, len(rows) // _MOST_DIFFERENT)
    for row in range(0, len(rows), step):
        if not (rows.turns or (rows.words and rows.words[row])):
            yield rows.texts[row]
        if rows.pairs is not None:
            yield rows.pairs[row]
        if rows.turns:
            yield from (turn.text for turn in rows.turns[row])
        elif rows.words and rows.words[row]:
            yield " ".join(rows.words[row])


def _some_words(texts: Iterable[str]) -> Iterator[str]:
    left = _MOST_WORDS
    for text in texts:
        words = _WORD.findall(text)[:left]
        left -= len(words)
        yield from (word.strip(_PUNCTUATION) or word for word in words)
        if not left:
            return


_PUNCTUATION = ".,;:!?\"'()[]«»“”„…"


def _encoded(words: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    if not words:
        return []
    return [list(ids) for ids in tokenizer(list(words), add_special_tokens=False, verbose=False)["input_ids"]]


def _unknown_targets(
    train: Examples, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", unknown: int
) -> Counter[str]:
    """Parts of training targets that become unknown tokens, most frequent first; empty without any."""
    part = tokens.get("train")
    if part is None or not (_counted(SplitReport(rows=0), part, unknown).unknown_target_tokens):
        return Counter()
    words = Counter(_some_words(_targets(train)))
    different = [word for word, _ in words.most_common(_MOST_DIFFERENT)]
    lost = [word for word, ids in zip(different, _encoded(different, tokenizer), strict=True) if unknown in ids]
    signs = Counter[str]()
    for word in lost:
        for sign in set(word):
            signs[sign] += words[word]
    alone = _encoded(list(signs), tokenizer)
    single = Counter({sign: signs[sign] for sign, ids in zip(signs, alone, strict=True) if unknown in ids})
    return single or Counter({word: words[word] for word in lost})


def _targets(rows: Examples) -> Iterator[str]:
    for row in range(len(rows)):
        if isinstance(rows.labels[row], str):
            yield str(rows.labels[row])
        if rows.turns:
            yield from (turn.text for turn in rows.turns[row] if turn.role == ASSISTANT)


def _about_targets(splits: dict[str, SplitReport], missing: Counter[str]) -> Iterator[str]:
    count = sum(split.unknown_target_tokens for split in splits.values())
    if not count:
        return
    named = [shown(piece) for piece, _ in missing.most_common(_NAMED)]
    what = f"{', '.join(named)} {'is' if len(named) == 1 else 'are'}" if named else "Parts of the targets are"
    yield (
        f"{what} unknown to this tokenizer: the model can never write targets with them ({count:,} unknown tokens in"
        " the targets)."
    )


def _about_words(words: Vocabulary | None, tokenizer: "PreTrainedTokenizerBase") -> Iterator[str]:
    if words is None:
        return
    if words.unknown >= _UNKNOWN_INPUTS:
        examples = ", ".join(map(shown, words.unknown_examples))
        yield (
            f"The tokenizer doesn't know {words.unknown:.0%} of the words of the training rows, such as {examples}:"
            f" the model reads {tokenizer.unk_token} in their place and can't distinguish them. {_OTHER_MODEL}"
        )
    if words.spelled >= _SPELLED_INPUTS:
        examples = ", ".join(map(shown, words.spelled_examples))
        yield (
            f"The tokenizer spells {words.spelled:.0%} of the words of the training rows letter by letter, such as"
            f" {examples}: it was made for other texts than these, and so was the model. {_OTHER_MODEL}"
        )


_OTHER_MODEL = "Use a model that was trained on texts of this kind."
