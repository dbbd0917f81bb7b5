"""CPU time and memory of the search for near-duplicates, beside the texts themselves.

    make bench-near-duplicates ARGS="--megabytes 200"

Short and long rows, and rows with a preamble that all of them share.
"""

import argparse
import resource
import sys
import time
from itertools import accumulate
from multiprocessing import get_context
from random import Random

WORDS = 30_000
PREAMBLE = "You are the assistant of a travel agency. Answer briefly and politely, and name prices in euros. " * 3
KINDS = {"short rows": (30, ""), "long rows": (700, ""), "rows with a preamble": (30, PREAMBLE)}
"""Words of a row, and what is in front of it."""


def texts_of(words: int, preamble: str, megabytes: float) -> list[str]:
    """Rows of made-up words as frequent as those of a language are."""
    rng = Random(0)  # noqa: S311 -- nothing here is secret
    known = ["".join(rng.choices("abcdefghiklmnoprstuw", k=rng.randint(2, 9))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
    texts, left = list[str](), megabytes * 1e6
    while left > 0:
        texts.append(preamble + " ".join(rng.choices(known, cum_weights=weights, k=words)))
        left -= len(texts[-1])
    return texts


def measure(kind: str, megabytes: float) -> tuple[str, int, float, float, int]:
    """Kind, rows, CPU seconds, peak of memory above the texts in MB, and groups of more than one row."""
    texts = texts_of(*KINDS[kind], megabytes)
    from finetune_trainer.data.near_duplicates import NearDuplicates

    before, started = _resident(), time.process_time()
    found = NearDuplicates(texts)
    seconds = time.process_time() - started
    shared = len(texts) - len(set(found.groups.tolist()))
    return kind, len(texts), seconds, _peak() - before, shared


def main() -> None:
    """Measure each kind in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50)
    size = parser.parse_args().megabytes
    print(f"{'':<22}{'rows':>10}{'CPU-s per GB':>14}{'peak MB':>9}{'bytes a row':>13}{'in groups':>11}")
    for kind in KINDS:
        with get_context("spawn").Pool(1) as pool:
            name, rows, seconds, peak, shared = pool.apply(measure, (kind, size))
        print(f"{name:<22}{rows:>10,}{seconds * 1000 / size:>14.0f}{peak:>9.0f}{peak * 1e6 / rows:>13.0f}{shared:>11,}")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _resident() -> float:
    with open("/proc/self/statm") as status:  # noqa: PTH123 -- a file of the kernel
        return int(status.read().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
