"""How fast CSV files are read into rows, beside `csv.DictReader` of the standard library, which judges nothing.

    make bench-csv ARGS="--megabytes 50 --rounds 5"

Both sides read each file in turn, in one process. Quotes are judged on the whole file before the first row is given.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median

from finetune_api.data import DataFormat
from finetune_trainer.data.reading.csv_rows import read_csv
from finetune_trainer.data.reading.files import DataFile

WORDS = 25
KINDS: dict[str, Callable[[str, int], str]] = {
    "no quotes": lambda text, _row: text,
    "a quoted text in three": lambda text, row: f"{text}, and so on" if row % 3 == 0 else text,
    "every text quoted": lambda text, _row: f'"{text}", they said, and more',
    "one text of two lines in ten": lambda text, row: f"{text}\n{text}" if row % 10 == 0 else text,
}
"""What a row's text is made of; csv.writer quotes what needs it."""


def write(file: Path, kind: str, megabytes: float) -> int:
    """Write rows of a kind; returns how many."""
    rng = Random(0)  # noqa: S311 -- nothing here is secret
    known = ["".join(rng.choices("abcdefghiklmnoprstuw", k=rng.randint(2, 9))) for _ in range(5_000)]
    texts = [" ".join(rng.choices(known, k=WORDS)) for _ in range(2_000)]
    rows = int(megabytes * 1e6 / (sum(map(len, texts)) / len(texts) + 8))
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        writer.writerows((KINDS[kind](texts[row % len(texts)], row), row % 3) for row in range(rows))
    return rows


def ours(file: Path) -> int:
    """Read by this project; returns the number of rows."""
    return sum(1 for _ in read_csv(DataFile(file, file.name, DataFormat.CSV)))


def plain(file: Path) -> int:
    """Read by the standard library."""
    with file.open(encoding="utf-8", newline="") as text:
        return sum(1 for _ in csv.DictReader(text))


def main() -> None:
    """Measure each kind and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'':<32}{'rows':>9}{'MB/s':>8}{'DictReader':>12}{'ratio (lowest - highest)':>28}")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "rows.csv")
            rows, size = write(file, kind, arguments.megabytes), file.stat().st_size / 1e6
            seconds = [(_timed(ours, file, rows), _timed(plain, file, rows)) for _ in range(arguments.rounds)]
        ratios = [theirs / mine for mine, theirs in seconds]
        mine, theirs = (size / median(side) for side in zip(*seconds, strict=True))
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
        print(f"{kind:<32}{rows:>9,}{mine:>8.1f}{theirs:>12.1f}{spread:>28}")


def _timed(read: Callable[[Path], int], file: Path, rows: int) -> float:
    """Seconds of the processor."""
    start = time.process_time()
    if read(file) != rows:
        raise RuntimeError(read.__name__)
    return time.process_time() - start


if __name__ == "__main__":
    main()
