"""Rows of each label by split, as bars."""

from dataclasses import dataclass

from finetune_api.data_report import DataReport

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelRow:
    """A label: rows by split, its share of the training rows, and the length of its bar in percent."""

    label: str
    rows: list[int]
    share: float
    bar: float


def split_names(data: DataReport) -> list[str]:
    """Names of the splits, the usual ones in their usual order."""
    return sorted(data.splits, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS))


def label_rows(data: DataReport) -> list[LabelRow]:
    """Labels by falling number of training rows; the longest bar is the most frequent label's."""
    splits = [data.splits[name] for name in split_names(data)]
    labels = {label: None for split in splits for label in split.labels}
    rows = {label: [split.labels.get(label, 0) for split in splits] for label in labels}
    if not rows:
        return []
    longest = max(counts[0] for counts in rows.values()) or 1
    of_words = not data.problem_type  # tags: each row has as many as words
    total = (sum(splits[0].labels.values()) if of_words else splits[0].rows) or 1
    ordered = sorted(rows.items(), key=lambda item: -item[1][0])
    return [LabelRow(label, counts, counts[0] / total, 100 * counts[0] / longest) for label, counts in ordered]
