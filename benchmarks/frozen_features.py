"""Is a solved head on a frozen encoder as good, and as fast, as scikit-learn's logistic regression on its vectors?

    make bench-frozen-features ARGS="--data FOLDER --model FOLDER [--cases wnut17_ner] [--rounds 3]"

All rows of every data set with classes or tags, at the defaults of `FeatureExtraction`. Each side has a process of its
own, one after the other in each round; seconds are those of the processor, from loading to the test rows.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from quality import cases
from quality.bases import Place
from quality.runs import BY_HAND, OURS, measure, run_at

from finetune_api.tasks import MethodType

_WORK = Path(__file__).parents[1] / "runs" / "bench-frozen-features"
_ALL = (1_000_000,) * 3
_SETS = ("tweet_sentiment", "movie_reviews", "identity_toxicity", "wnut17_ner", "uner_zh")


def main() -> None:
    """Measure both sides of each data set, and print a line each."""
    arguments = _parse()
    place = Place(arguments.data, arguments.model, arguments.work)
    print(f"{'':20}{'metric':>10}{'ours':>8}{'sklearn':>9}{'loss':>8}{'sklearn':>9}{'s':>8}{'sklearn':>9}")
    for name in arguments.cases.split(","):
        rounds = [_both(name, place) for _ in range(arguments.rounds)]
        print(_line(name, rounds), flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets, a folder each")
    parser.add_argument("--model", type=Path, required=True, help="folder of a BERT-like encoder")
    parser.add_argument("--cases", default=",".join(_SETS), help="data sets, with commas")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side runs")
    parser.add_argument("--work", type=Path, default=_WORK, help="folder for rows that are written")
    return parser.parse_args()


def _both(name: str, place: Place) -> dict[str, dict[str, Any]]:
    run = run_at(name, MethodType.FEATURE_EXTRACTION)
    return {side: measure(replace(run, side=side), place, _ALL) for side in (OURS, BY_HAND)}


def _line(name: str, rounds: list[dict[str, dict[str, Any]]]) -> str:
    """Figures of the first round, since both sides are deterministic, and the median of the seconds."""
    metric = cases.CASES[name].figures[0]
    seconds = {side: median(one[side]["seconds"] for one in rounds) for side in (OURS, BY_HAND)}
    ours, theirs = (rounds[0][side]["metrics"] for side in (OURS, BY_HAND))
    return (
        f"{name:20}{metric:>10}{ours[metric]:8.3f}{theirs[metric]:9.3f}{ours['evalLoss']:8.3f}"
        f"{theirs['evalLoss']:9.3f}{seconds[OURS]:8.1f}{seconds[BY_HAND]:9.1f}"
    )


if __name__ == "__main__":
    main()
