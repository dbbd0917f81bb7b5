"""Generated texts against references: metrics, worst rows, samples."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from finetune_api.details import Details, Sample
from finetune_trainer.data.prepared import Examples
from finetune_trainer.evaluation.details import SAMPLES, WORST, shorten
from finetune_trainer.evaluation.text_overlap import chr_f, exact_match, mean_of, rouge_1, rouge_l, token_f1


@dataclass(frozen=True)
class GeneratedTexts:
    """Generated texts of one split; `baseline` is empty where the base model was not evaluated."""

    rows: Examples
    texts: Sequence[str]
    losses: Sequence[float]
    """Mean loss of a token of the expected text, by row."""
    baseline: Sequence[str] = field(default_factory=list)


def all_references(rows: Examples) -> list[list[str]]:
    """All references of the input of each row: rows with the same input share theirs."""
    known: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    inputs = [(text, rows.pairs[row] if rows.pairs else "") for row, text in enumerate(rows.texts)]
    for given, label in zip(inputs, rows.labels, strict=True):
        known[given][str(label)] = None
    return [list(known[given]) for given in inputs]


def text_metrics(
    written: Sequence[str], references: Sequence[Sequence[str]], answer_after: str = ""
) -> dict[str, float]:
    """Similarity to the references by metric; with `answer_after` only of the text after its last occurrence."""
    texts = [answer_in(text, answer_after) for text in written]
    known = [[answer_in(reference, answer_after) for reference in row] for row in references]
    each = {"exactMatch": exact_match, "f1": token_f1, "rouge1": rouge_1, "rougeL": rouge_l}
    means = {name: mean_of(metric, texts, known) for name, metric in each.items()}
    return means | {"chrF": chr_f(texts, known)}


def answer_in(text: str, after: str) -> str:
    """The text after the last `after`; the whole text without one, or for an empty `after`."""
    return text.rpartition(after)[2].strip() if after else text


def describe_generated(written: GeneratedTexts, seed: int = 0) -> Details:
    """Samples: the rows least similar to their references, and rows drawn with `seed`."""
    references = all_references(written.rows)
    text_metrics = [rouge_l(text, known) for text, known in zip(written.texts, references, strict=True)]
    misses = [row for row, known in enumerate(references) if not exact_match(written.texts[row], known)]
    misses.sort(key=lambda row: (text_metrics[row], -written.losses[row]))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(written.texts))[:SAMPLES])
    return Details(
        worst=[_sample(written, row) for row in misses[:WORST]],
        samples=[_sample(written, int(row)) for row in drawn],
    )


def _sample(written: GeneratedTexts, row: int) -> Sample:
    rows = written.rows
    return Sample(
        text=shorten(rows.texts[row]),
        pair=shorten(rows.pairs[row]) if rows.pairs else "",
        expected=shorten(str(rows.labels[row])),
        predicted=shorten(written.texts[row]),
        baseline=shorten(written.baseline[row]) if written.baseline else "",
        loss=written.losses[row],
        place=rows.places[row],
    )
