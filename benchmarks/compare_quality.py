"""How good is each method on each task, at its defaults and beside them, and beside a script by hand?

    make bench-quality ARGS="--data FOLDER --model FOLDER [--cases wnut17_ner,e2e_nlg] [--methods LoRA] [--rates 1,3]"

Each run has a process of its own. Figures go to a file, and what is there is not run again: a suite that was broken
off goes on where it was. docs/reference/benchmarks.md tells where the data come from.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from quality.bases import Place
from quality.cases import CASES
from quality.ledger import Ledger
from quality.runs import BY_HAND, OURS, SCRIPTS, Run, measure, run_at
from quality.tables import methods_table, overview_table, rates_table, sides_table

from finetune_api.tasks import MethodType

WORK = Path(__file__).parents[1] / "runs" / "bench-quality"


def main() -> None:
    """Run what was not run before, and print the tables."""
    arguments = _parse()
    place = Place(arguments.data, arguments.model, arguments.work)
    ledger = Ledger(arguments.work / "figures.jsonl")
    figures: dict[Run, dict[str, Any]] = {}
    for run in _runs(arguments):
        known = ledger.find(run)
        if known is None and not arguments.no_run:
            known = _made(run, place, ledger)
        if known is not None:
            figures[run] = known
    _print(figures)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets, a folder each")
    parser.add_argument("--model", type=Path, required=True, help="folder of a BERT-like encoder")
    parser.add_argument("--cases", default=",".join(CASES), help="what to run, with commas")
    parser.add_argument("--methods", default="", help="methods, with commas; all that the task has by default")
    parser.add_argument("--rates", default="1", help="factors of the default learning rate, with commas")
    parser.add_argument("--sides", default=OURS, help=f"`{OURS}`, `{BY_HAND}`, or both with a comma")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for models that are made, and for figures")
    parser.add_argument("--no-run", action="store_true", help="print what is there, run nothing")
    return parser.parse_args()


def _runs(arguments: argparse.Namespace) -> Iterator[Run]:
    wanted = {MethodType(name) for name in arguments.methods.split(",") if name}
    for case in arguments.cases.split(","):
        for method in CASES[case].methods:
            for side in arguments.sides.split(","):
                if (wanted and method not in wanted) or (side == BY_HAND and not _is_by_hand(case, method)):
                    continue
                for factor in map(float, arguments.rates.split(",")):
                    for seed in range(1, arguments.seeds + 1):
                        yield run_at(case, method, factor, seed, side)


def _is_by_hand(case: str, method: MethodType) -> bool:
    by_hand = (MethodType.FULL, MethodType.LORA, MethodType.FEATURE_EXTRACTION)
    return CASES[case].task.value in SCRIPTS and method in by_hand


def _made(run: Run, place: Place, ledger: Ledger) -> dict[str, Any] | None:
    start = time.monotonic()
    try:
        figures = measure(run, place)
    except Exception as error:  # noqa: BLE001 -- the others are worth having all the same
        print(f"{run}: {error}", file=sys.stderr, flush=True)
        return None
    ledger.add(run, figures)
    shown = "  ".join(f"{name} {figures['metrics'].get(name, float('nan')):.3f}" for name in CASES[run.case].figures)
    took = time.monotonic() - start
    print(
        f"{run.case:<30}{run.method:<18}{run.learning_rate:<9.2g}{run.side:<13}{shown}  {figures['seconds']:.0f} s"
        f" ({took:.0f} s by the clock)  {figures['mebibytes']} MiB",
        file=sys.stderr,
        flush=True,
    )
    return figures


def _print(figures: dict[Run, dict[str, Any]]) -> None:
    ours = {run: found for run, found in figures.items() if run.side == OURS}
    default = {run: found for run, found in ours.items() if run == _default(run)}
    print(overview_table(default), methods_table(default), sep="\n\n", end="\n\n")
    if any(run.learning_rate != _default(run).learning_rate for run in ours):
        print(rates_table({run: found for run, found in ours.items() if run.seed == 1}), end="\n\n")
    sides = ((run, found, figures.get(replace(run, side=BY_HAND))) for run, found in ours.items())
    pairs = [(run, found, by_hand) for run, found, by_hand in sides if by_hand is not None]
    if pairs:
        print(sides_table(pairs))


def _default(run: Run) -> Run:
    return run_at(run.case, MethodType(run.method))


if __name__ == "__main__":
    main()
