"""Tokenised texts as two flat arrays, cached by content so that no restart tokenises twice."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from finetune_api.report import Lengths
from finetune_trainer.cache import keep

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LAYOUT = "tokens/v1"
_CHUNK = 2_000


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts, ragged: text i is `ids[offsets[i]:offsets[i + 1]]`.

    `types` holds the segment ids in the same layout where the tokenizer makes them for pairs, else None;
    `full_lengths` [n] are the lengths before truncation.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    full_lengths: NDArray[np.int32]
    types: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each text in tokens after truncation, [n]."""
        return np.diff(self.offsets)


def tokenise(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Tokenise texts (or pairs), truncated to `max_length` tokens with special tokens.

    Equal content, tokenizer and length give the same file below `cache`, written once. `advance` is told the
    number of rows done.
    """
    file = cache / f"{_key(texts, pairs, tokenizer, max_length)}.npz" if cache else None
    if file and (stored := _read(file)):
        advance(len(texts))
        return stored
    tokens = _tokenise(texts, pairs, tokenizer, max_length, advance)
    if file:
        keep(file, partial(_write, tokens))
    return tokens


def describe_lengths(tokens: Tokens, limit: int) -> Lengths:
    """Summarise the lengths before truncation."""
    lengths = tokens.full_lengths
    return Lengths(
        mean=float(lengths.mean()),
        median=float(np.median(lengths)),
        p95=float(np.percentile(lengths, 95)),
        longest=int(lengths.max()),
        truncated=int((lengths > limit).sum()),
        limit=limit,
    )


def _tokenise(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    advance: Callable[[int], None],
) -> Tokens:
    ids: list[int] = []
    types: list[int] = []
    offsets, full = [0], list[int]()
    for start in range(0, len(texts), _CHUNK):
        part = slice(start, start + _CHUNK)
        first, second = list(texts[part]), list(pairs[part]) if pairs is not None else None
        encoded = tokenizer(first, second, truncation=True, max_length=max_length, verbose=False)
        # Decoders add no special tokens, so an empty text has no token at all; models need one.
        rows = [row or [tokenizer.pad_token_id] for row in encoded["input_ids"]]
        for row in rows:
            ids.extend(row)
            offsets.append(len(ids))
        full.extend(_full_lengths(rows, first, second, tokenizer, max_length))
        if second is not None and "token_type_ids" in encoded:
            types.extend(segment for row in encoded["token_type_ids"] for segment in row or [0])
        advance(len(rows))
    return Tokens(
        np.asarray(ids, np.int32),
        np.asarray(offsets, np.int64),
        np.asarray(full, np.int32),
        np.asarray(types, np.int32) if types else None,
    )


def _full_lengths(
    rows: list[list[int]],
    texts: list[str],
    pairs: list[str] | None,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
) -> list[int]:
    """Length of each row without truncation; only those that may have been cut are tokenised once more."""
    lengths = [len(row) for row in rows]
    cut = [index for index, length in enumerate(lengths) if length >= max_length]
    if cut:
        second = [pairs[index] for index in cut] if pairs is not None else None
        whole = tokenizer([texts[index] for index in cut], second, truncation=False, verbose=False)
        for index, row in zip(cut, whole["input_ids"], strict=True):
            lengths[index] = len(row)
    return lengths


def _key(
    texts: Sequence[str], pairs: Sequence[str] | None, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> str:
    # The padding state changes with use and says nothing of the ids, so it stays out of the key.
    settings = (_LAYOUT, max_length, tokenizer.truncation_side, type(tokenizer).__name__, tokenizer.model_input_names)
    digest = hashlib.sha256(repr((*settings, tokenizer.pad_token_id)).encode())
    digest.update(_tokenizer_state(tokenizer))
    for column in (texts, pairs or ()):
        digest.update(len(column).to_bytes(8, "little"))
        for text in column:
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
    return digest.hexdigest()


def _tokenizer_state(tokenizer: "PreTrainedTokenizerBase") -> bytes:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return repr(sorted(tokenizer.get_vocab().items())).encode()
    import json

    state = json.loads(backend.to_str())
    return json.dumps({key: value for key, value in state.items() if key not in ("padding", "truncation")}).encode()


def _read(file: Path) -> Tokens | None:
    """Read tokens from the cache; None where they are not there or broken."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            types = stored["types"]
            return Tokens(stored["ids"], stored["offsets"], stored["full_lengths"], types if len(types) else None)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _write(tokens: Tokens, file: Path) -> None:
    types = tokens.types if tokens.types is not None else np.zeros(0, np.int32)
    with file.open("wb") as stream:
        np.savez(stream, ids=tokens.ids, offsets=tokens.offsets, full_lengths=tokens.full_lengths, types=types)
