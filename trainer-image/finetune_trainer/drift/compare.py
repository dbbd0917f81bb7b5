"""Comparison of new inputs with the statistics of the training inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finetune_api.drift import Answers, Distribution, Drift, DriftReference, DriftReport, Mass, Shift
from finetune_trainer.drift.divergence import Floats, chance_of_bins, chance_of_mass, divergence, graded
from finetune_trainer.drift.reference import binned, shares
from finetune_trainer.drift.sketch import SCRIPTS, Sketch

_ORDER = list(Drift)
_NAMED = 3


@dataclass(frozen=True)
class NewRows:
    """Statistics of new inputs."""

    found: Sketch
    labels: Sequence[str] = ()
    """Their labels, where they have any."""
    answers: Sequence[str] = ()
    """Labels that the model predicts for rows of them."""
    confidence: Sequence[float] = ()
    """Probabilities of these."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.found.characters)


def compare(reference: DriftReference, new: NewRows) -> DriftReport:
    """Compare all statistics that both sides have."""
    shifts = [*_inputs(reference, new), *_labels(reference, new)]
    worst = max((shift.drift for shift in shifts), key=_ORDER.index)
    return DriftReport(rows=new.rows, reference_rows=reference.rows, drift=worst, shifts=shifts)


def _inputs(reference: DriftReference, new: NewRows) -> Iterator[Shift]:
    found, sizes = new.found, (reference.rows, new.rows)
    yield _by_bins("characters", reference.characters, found.characters, sizes)
    yield _by_bins("tokens", reference.tokens, found.tokens, sizes)
    yield _by_bins("unknown", reference.unknown, found.unknown, sizes)
    yield _by_mass("scripts", reference.scripts, found.scripts, sizes)
    yield _by_mass("vocabulary", reference.vocabulary, found.vocabulary, sizes)


def _labels(reference: DriftReference, new: NewRows) -> Iterator[Shift]:
    if reference.labels and new.labels:
        yield _by_label("labels", reference.labels, new.labels, reference.rows)
    answers: Answers | None = reference.answers
    if answers is not None and new.answers:
        yield _by_label("answers", answers.labels, new.answers, answers.rows)
        sizes = (answers.rows, len(new.confidence))
        yield _by_bins("confidence", answers.confidence, np.asarray(new.confidence), sizes)


def _by_bins(name: str, before: Distribution, values: Floats, sizes: tuple[int, int]) -> Shift:
    known, now = np.asarray(before.shares), binned(values, before.edges)
    bins = int(np.count_nonzero(known + now))
    value, chance = divergence(known, now), chance_of_bins(bins, *sizes)
    return Shift(
        name=name,
        divergence=value,
        chance=chance,
        drift=graded(value, chance),
        before=f"median {_middle(before):.3g}",
        now=f"median {float(np.median(values)):.3g}",
    )


def _middle(before: Distribution) -> float:
    """Upper end of the bin that contains the median."""
    at = int(np.searchsorted(np.cumsum(before.shares), 0.5))
    return before.edges[min(at, len(before.edges) - 1)]


def _by_mass(name: str, before: Mass, counts: Floats, sizes: tuple[int, int]) -> Shift:
    known, now = np.asarray(before.shares), counts.sum(axis=0)
    value, chance = divergence(known, now), chance_of_mass(before.halves, *sizes)
    shown = (_kinds(known), _kinds(now)) if name == "scripts" else ("", "")
    return Shift(name=name, divergence=value, chance=chance, drift=graded(value, chance), before=shown[0], now=shown[1])


def _kinds(counts: Floats) -> str:
    top = np.argsort(-counts, kind="stable")[:_NAMED]
    return ", ".join(f"{SCRIPTS[kind].lower()} {counts[kind] / counts.sum():.0%}" for kind in top if counts[kind])


def _by_label(name: str, before: Mapping[str, float], labels: Sequence[str], rows: int) -> Shift:
    now = shares(list(labels))
    names = list(dict.fromkeys([*before, *now]))
    known, found = (np.asarray([side.get(label, 0.0) for label in names]) for side in (before, now))
    value, chance = divergence(known, found), chance_of_bins(len(names), rows, len(labels))
    return Shift(
        name=name, divergence=value, chance=chance, drift=graded(value, chance), before=_top(before), now=_top(now)
    )


def _top(found: Mapping[str, float]) -> str:
    ranked = sorted(found.items(), key=lambda item: -item[1])[:_NAMED]
    return ", ".join(f"{label} {share:.0%}" for label, share in ranked)
