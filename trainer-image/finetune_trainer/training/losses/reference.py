"""Cache of reference log-probabilities on disk, by content, so that no restart computes them twice."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.cache import write_atomically
from finetune_trainer.data.tokenising.tokens import Tokens

_LAYOUT = "reference/v1"


def reference_key(weights: str, tokens: Tokens) -> str:
    """SHA-256 of what reference log-probabilities depend on: `weights` (model, device, precision) and the tokens."""
    digest = hashlib.sha256(f"{_LAYOUT} {weights}".encode())
    for part in (tokens.ids, tokens.offsets, tokens.labels):
        digest.update(b"" if part is None else part.tobytes())
    return digest.hexdigest()


def cached_logprobs(
    key: str, cache: Path, rows: int, make: Callable[[], NDArray[np.float64]], found: Callable[[int], None]
) -> NDArray[np.float64]:
    """Log-probabilities [n, 2] from `<cache>/<key>.npy`, else those of `make`; a hit is reported to `found`."""
    file = cache / f"{key}.npy"
    stored = _read(file, rows)
    if stored is not None:
        found(rows)
        return stored
    made = make()
    write_atomically(file, lambda part: _write(part, made))
    return made


def _read(file: Path, rows: int) -> NDArray[np.float64] | None:
    try:
        stored = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
    return stored if stored.shape == (rows, 2) and stored.dtype == np.float64 else None


def _write(file: Path, values: NDArray[np.float64]) -> None:
    with file.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)
