"""Statistics of the training inputs, saved with the model."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune_api.details import Details
from finetune_api.drift import DRIFT_NAME, Answers, Distribution, DriftReference, Mass
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Examples
from finetune_trainer.drift.divergence import Floats, divergence
from finetune_trainer.drift.sketch import sketch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ENOUGH = 10_000
"""Rows that statistics are taken of at most."""
_BINS, _DIGITS = 10, 6


def save_reference(
    folder: Path, rows: Examples, tokenizer: "PreTrainedTokenizerBase", held_out: Details | None, seed: int
) -> None:
    """Write the statistics of the training rows beside the weights; see `drift_reference_of`."""
    _write(folder, drift_reference_of(rows, tokenizer, held_out, seed))


def carry_reference(folder: Path, sources: Sequence[Path], names: tuple[str, ...], held_out: Details | None) -> bool:
    """Write the common statistics of the inputs of all `sources` (model folders) beside merged weights.

    Returns whether there are any: statistics of different inputs have different bins, and can't be made one. What the
    merged model answers, with labels of these `names`, goes with them.
    """
    known = [source / DRIFT_NAME for source in sources]
    if not all(file.is_file() for file in known):
        return False
    found = [
        DriftReference.model_validate_json(file.read_text(encoding="utf-8")).model_copy(update={"answers": None})
        for file in known
    ]
    if any(other != found[0] for other in found):
        return False
    answers = _answers(held_out, names) if held_out is not None else None
    _write(folder, found[0].model_copy(update={"answers": answers}))
    return True


def _write(folder: Path, reference: DriftReference) -> None:
    (folder / DRIFT_NAME).write_text(
        reference.model_dump_json(by_alias=True, exclude_none=True) + "\n", encoding="utf-8"
    )


def drift_reference_of(
    rows: Examples, tokenizer: "PreTrainedTokenizerBase", held_out: Details | None, seed: int
) -> DriftReference:
    """Statistics of training rows; `held_out` are the tuned model's predictions on held-out rows, or None."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:ENOUGH]).tolist()
    part = rows.pick(drawn)
    found = sketch(input_texts(part), tokenizer)
    single = rows.space.problem_type is ProblemType.SINGLE_LABEL
    return DriftReference(
        rows=len(part),
        characters=distribution(found.characters),
        tokens=distribution(found.tokens),
        unknown=distribution(found.unknown),
        scripts=_mass(found.scripts, seed),
        vocabulary=_mass(found.vocabulary, seed),
        labels=shares([str(label) for label in part.labels]) if single else {},
        answers=_answers(held_out, rows.space.names) if held_out is not None and single else None,
    )


def input_texts(rows: Examples) -> list[str]:
    """The input of each row as one text."""
    pairs = rows.pairs or [""] * len(rows)
    return [f"{text}\n{pair}" if pair else text for text, pair in zip(rows.texts, pairs, strict=True)]


def distribution(values: Floats) -> Distribution:
    """Bins of about equal mass of the values [n]; fewer where values repeat."""
    cuts = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    edges = [float(cut) for cut in cuts if cut < values.max()] or [float(values.max())]
    return Distribution(edges=edges, shares=_rounded(binned(values, edges)))


def binned(values: Floats, edges: list[float]) -> Floats:
    """Share of the values in each bin."""
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return np.asarray(counts / max(1, len(values)), np.float64)


def shares(labels: list[str]) -> dict[str, float]:
    """Share of each label, the most frequent first."""
    counts = Counter(labels)
    return {label: round(count / len(labels), _DIGITS) for label, count in counts.most_common()}


def _mass(counts: Floats, seed: int) -> Mass:
    order = np.random.default_rng(seed).permutation(len(counts))
    half = len(order) // 2
    halves = divergence(counts[order[:half]].sum(axis=0), counts[order[half:]].sum(axis=0))
    return Mass(shares=_rounded(counts.sum(axis=0) / max(1.0, counts.sum())), halves=round(halves, _DIGITS + 2))


def _answers(details: Details, names: tuple[str, ...]) -> Answers | None:
    """Prediction statistics from confusion matrix and calibration curve."""
    if not details.confusion or not details.reliability:
        return None
    counts, bins = np.asarray(details.confusion).sum(axis=0), details.reliability
    rows = int(counts.sum())
    middles = [(one.confidence + other.confidence) / 2 for one, other in pairwise(bins)]
    return Answers(
        rows=rows,
        labels={name: round(count / rows, _DIGITS) for name, count in zip(names, counts.tolist(), strict=True)},
        confidence=Distribution(edges=middles, shares=_rounded(np.asarray([one.rows / rows for one in bins]))),
    )


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
