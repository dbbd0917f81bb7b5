"""Rows of the data sets: read, thinned evenly, and turned into other tasks where a case asks for it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
SPLITS = ("train", "validation", "test")
_FIRST_WORDS = 6


def read_split(folder: Path, split: str) -> Rows:
    """Rows of `folder/split.jsonl` or `.csv`; raises `FileNotFoundError` where there is neither."""
    lines = folder / f"{split}.jsonl"
    if lines.exists():
        return [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def thin(rows: Rows, count: int) -> Rows:
    """`count` rows at even distances, so that every part of the file has its share; all where there are fewer."""
    if len(rows) <= count:
        return rows
    return [rows[at * len(rows) // count] for at in range(count)]


def write_rows(rows: Rows, file: Path) -> Path:
    """The rows as JSON lines in `file`, which is returned."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


def even(rows: Rows) -> Rows:
    """Every other row, from the first."""
    return rows[::2]


def odd(rows: Rows) -> Rows:
    """Every other row, from the second."""
    return rows[1::2]


def odd_reversed(rows: Rows) -> Rows:
    """Every other row, from the second, with what is read and what is written the other way round."""
    return [{"input": row["target"], "target": row["input"]} for row in odd(rows)]


def brief(rows: Rows) -> Rows:
    """The bare result preferred over the worked answer: a taste, which small models can learn."""
    return [
        {"prompt": row["prompt"], "chosen": row["chosen"].splitlines()[-1], "rejected": row["chosen"]} for row in rows
    ]


def rewarded_word(rows: Rows) -> Rows:
    """How passages begin; what goes on with a certain word is rewarded."""
    return [{"prompt": " ".join(row["text"].split()[:_FIRST_WORDS]), "completion": "happy"} for row in rows]


DERIVED: dict[str, Callable[[Rows], Rows]] = {
    "": list,
    "even": even,
    "odd": odd,
    "odd_reversed": odd_reversed,
    "brief": brief,
    "rewarded_word": rewarded_word,
}
"""Ways to make rows of other rows, by name."""
