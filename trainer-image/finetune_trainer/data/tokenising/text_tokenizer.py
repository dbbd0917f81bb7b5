"""Tokenizer of texts, words and raw text, which `data.splitSpecialTokens` may have spell special tokens as text."""

import copy
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from finetune_trainer.data.tokenising.spelled_tokens import special_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def text_tokenizer(tokenizer: "PreTrainedTokenizerBase", *, split: bool | None) -> "PreTrainedTokenizerBase":
    """The tokenizer for texts of rows; with `split`, one that encodes spelled special tokens as ordinary text.

    The special tokens around a text stay what they are, as with `split_special_tokens` of transformers.
    """
    return _splitting(tokenizer) if split else tokenizer


@lru_cache(maxsize=4)
def _splitting(tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    own = copy.deepcopy(tokenizer)
    own.split_special_tokens = True
    backend = getattr(own, "backend_tokenizer", None)
    if backend is not None:
        _keep_apart(backend, special_texts(tokenizer))
    return own


def _keep_apart(backend: Any, tokens: tuple[str, ...]) -> None:
    """Part spelled tokens behind their first character: SentencePiece's vocabularies have them as pieces of text."""
    from tokenizers import Regex, pre_tokenizers

    spelled = [f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in tokens if len(token) > 1]
    if not spelled:
        return
    parted = pre_tokenizers.Split(Regex("|".join(spelled)), "merged_with_previous")
    before = backend.pre_tokenizer
    backend.pre_tokenizer = parted if before is None else pre_tokenizers.Sequence([before, parted])
