"""Text similarity: exact match and F1 of SQuAD, ROUGE-1 and ROUGE-L, chrF. Pure.

Where several references are given, the one that fits best counts, as in SQuAD.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from finetune_trainer.evaluation.words import answer_words, words

_ORDERS = 6
_BETA = 2
Texts = Sequence[str]


def exact_match(written: str, references: Texts) -> float:
    """1 where the words equal those of a reference (SQuAD's normalisation), else 0."""
    found = answer_words(written)
    return float(any(found == answer_words(reference) for reference in references))


def token_f1(written: str, references: Texts) -> float:
    """F1 of words, by SQuAD's normalisation (arXiv:1606.05250); 1 for two texts without words."""
    found = answer_words(written)
    return max(_bag_f1(found, answer_words(reference)) for reference in references)


def rouge_1(written: str, references: Texts) -> float:
    """ROUGE-1: F1 of the words (Lin 2004), without stemming."""
    found = words(written)
    return max(_f1(_overlap(found, known), len(found), len(known)) for known in map(words, references))


def rouge_l(written: str, references: Texts) -> float:
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004), without stemming."""
    found = words(written)
    return max(_f1(_common_length(found, known), len(found), len(known)) for known in map(words, references))


def chr_f(written: Texts, references: Sequence[Texts]) -> float:
    """Corpus chrF2 (Popović 2015), as in sacrebleu but from 0 to 1.

    Args:
        written: one text a row.
        references: the references of each row.
    """
    totals = [(0, 0, 0)] * _ORDERS
    for text, known in zip(written, references, strict=True):
        best = max((_chr_counts(text, reference) for reference in known), key=_chr_score)
        totals = [(a + d, b + e, c + f) for (a, b, c), (d, e, f) in zip(totals, best, strict=True)]
    return _chr_score(totals)


def mean_of(metric: Callable[[str, Texts], float], written: Texts, references: Sequence[Texts]) -> float:
    """Mean of a metric over all rows."""
    return sum(map(metric, written, references)) / len(written)


def _bag_f1(found: list[str], known: list[str]) -> float:
    if not found or not known:
        return float(found == known)
    return _f1(_overlap(found, known), len(found), len(known))


def _overlap(found: list[str], known: list[str]) -> int:
    return (Counter(found) & Counter(known)).total()


def _f1(common: int, found: int, known: int) -> float:
    return 2 * common / (found + known) if common else 0.0


def _common_length(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence."""
    lengths = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for column, known in enumerate(other, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == known else max(above, lengths[column - 1])
            diagonal = above
    return lengths[-1]


def _chr_counts(text: str, reference: str) -> list[tuple[int, int, int]]:
    """Character n-gram counts by order: of text, reference, and both. White space is ignored."""
    found, known = "".join(text.split()), "".join(reference.split())
    return [_chr_matches(_ngrams(found, order), _ngrams(known, order)) for order in range(1, _ORDERS + 1)]


def _chr_matches(found: Counter[str], known: Counter[str]) -> tuple[int, int, int]:
    return found.total() if known else 0, known.total(), (found & known).total()


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))


def _chr_score(counts: Sequence[tuple[int, int, int]]) -> float:
    """F score of mean precision and mean recall over the orders that both sides have."""
    present = [(found, known, common) for found, known, common in counts if found and known]
    if not present:
        return 0.0
    precision = sum(common / found for found, _, common in present) / len(present)
    recall = sum(common / known for _, known, common in present) / len(present)
    weight = _BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall) if precision and recall else 0.0
