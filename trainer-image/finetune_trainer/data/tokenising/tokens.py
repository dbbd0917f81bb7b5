"""`Tokens`: tokenised texts as two flat arrays, cached by content."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from finetune_api.data_report import Lengths
from finetune_trainer.cache import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE_INDEX = -100
"""Label of a token that no loss looks at, as in PyTorch and transformers."""
_LAYOUT = "tokens/v3"
_CHUNK = 2_000


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts, ragged: text i is `ids[offsets[i]:offsets[i + 1]]`.

    `full_lengths` [n] are the lengths before truncation. In the layout of `ids`, `types` holds the segment ids where
    the tokenizer makes them for pairs, and `labels` what each token is to be, `IGNORE_INDEX` where nothing.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    full_lengths: NDArray[np.int32]
    types: NDArray[np.int32] | None = None
    labels: NDArray[np.int32] | None = None
    outputs: "Tokens | None" = None
    """The text to be produced for each text (sequence to sequence)."""
    texts_a_row: int = 1
    """How many texts, one after the other, make a row of the data: two where answers are compared."""
    sources: NDArray[np.int64] | None = None
    """Number of each row's source, where that is known; not stored."""

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    @property
    def counted(self) -> NDArray[np.int64]:
        """Number of labelled tokens of each text, [n]."""
        labels = np.zeros(len(self.ids), np.int64) if self.labels is None else (self.labels != IGNORE_INDEX)
        return np.diff(np.concatenate([[0], np.cumsum(labels)])[self.offsets])

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
    key = content_key(tokenizer, (max_length,), texts, pairs or ())
    return cached(key, cache, len(texts), advance, lambda: _tokenise(texts, pairs, tokenizer, max_length, advance))


def cached(
    key: str, cache: Path | None, rows: int, advance: Callable[[int], None], make: Callable[[], Tokens]
) -> Tokens:
    """The tokens stored under `key` below `cache`, else those of `make`, which are then stored.

    `make` tells `advance` by itself how many of the `rows` are done.
    """
    if cache is None:
        return make()
    file = cache / f"{key}.npz"
    stored = _read(file)
    if stored is not None:
        advance(rows)
        return stored
    tokens = make()
    write_atomically(file, partial(_write, tokens))
    return tokens


def join(parts: Sequence[Tokens]) -> Tokens:
    """Concatenation of parts with the same columns."""
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    columns = {name: [getattr(part, name) for part in parts] for name in ("ids", "full_lengths", "types", "labels")}
    joined: dict[str, Any] = {name: np.concatenate(arrays) for name, arrays in columns.items() if arrays[0] is not None}
    outputs = [part.outputs for part in parts if part.outputs is not None]
    return replace(
        parts[0], **joined, offsets=np.concatenate([*offsets, starts[-1:]]), outputs=join(outputs) if outputs else None
    )


def describe_lengths(tokens: Tokens, limit: int, every: int = 1) -> Lengths:
    """Statistics of lengths before truncation; the texts may be every `every`-th row only."""
    lengths = tokens.full_lengths
    return Lengths(
        mean=float(lengths.mean()),
        median=float(np.median(lengths)),
        p95=float(np.percentile(lengths, 95)),
        longest=int(lengths.max()),
        truncated=int((lengths > limit).sum()),
        limit=limit,
        every=every,
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
    """Length of each row without truncation; only possibly truncated ones are tokenised again."""
    lengths = [len(row) for row in rows]
    cut = [index for index, length in enumerate(lengths) if length >= max_length]
    if cut:
        second = [pairs[index] for index in cut] if pairs is not None else None
        whole = tokenizer([texts[index] for index in cut], second, truncation=False, verbose=False)
        for index, row in zip(cut, whole["input_ids"], strict=True):
            lengths[index] = len(row)
    return lengths


def content_key(tokenizer: "PreTrainedTokenizerBase", settings: tuple[object, ...], *columns: Sequence[str]) -> str:
    """Digest over tokenizer, its usage (`settings`), and the texts of all columns."""
    # The padding state changes with use and says nothing of the ids, so it stays out of the key.
    used = (_LAYOUT, *settings, tokenizer.truncation_side, type(tokenizer).__name__, tokenizer.model_input_names)
    digest = hashlib.sha256(repr((*used, tokenizer.pad_token_id)).encode())
    digest.update(_tokenizer_state(tokenizer))
    for column in columns:
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
    """Tokens from the cache; None where missing or corrupt."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return _unpacked(stored, "")
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _write(tokens: Tokens, file: Path) -> None:
    with file.open("wb") as stream:
        np.savez(stream, **_packed(tokens, ""))


_OUTPUTS = "outputs."


def _packed(tokens: Tokens, prefix: str) -> dict[str, Any]:
    arrays = {name: getattr(tokens, name) for name in ("ids", "offsets", "full_lengths", "types", "labels")}
    packed = {f"{prefix}{name}": array for name, array in arrays.items() if array is not None}
    return packed if tokens.outputs is None else packed | _packed(tokens.outputs, _OUTPUTS)


def _unpacked(stored: Mapping[str, Any], prefix: str) -> Tokens:
    ids, offsets, lengths = (stored[f"{prefix}{name}"] for name in ("ids", "offsets", "full_lengths"))
    types, labels = (stored.get(f"{prefix}{name}") for name in ("types", "labels"))
    has_outputs = not prefix and f"{_OUTPUTS}ids" in stored
    outputs = _unpacked(stored, _OUTPUTS) if has_outputs else None
    return Tokens(ids, offsets, lengths, types, labels, outputs)
