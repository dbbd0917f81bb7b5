"""How fast is a job against the same training by hand? Both sides in one go, in turn, ratios with their spread.

    python benchmarks/trainer.py --model FOLDER [--train FILE --test FILE] [--rows 512] [--rounds 3]

Rows a second are of training alone: loading, tokenising and evaluation are outside on both sides. For feature
extraction ours includes the encoding of the rows, which the others repeat in every epoch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from ours import add_data_options, data_spec

SIDES = {"plain": "padded to the limit", "grouped": "padded by batch, grouped by length", "ours": "this project"}
EPOCHS = {"Full": 1.0, "LoRA": 1.0, "FeatureExtraction": 5.0}
RATES = {"Full": 5e-5, "LoRA": 1e-3, "FeatureExtraction": 1e-3}


def main() -> None:
    """Run one side (for ourselves), or all of them in turn and print the table."""
    arguments = _parse()
    if arguments.side:
        print(json.dumps(_measure(arguments)))
        return
    for method in arguments.methods.split(","):
        rounds = [{side: _in_own_process(side, method) for side in SIDES} for _ in range(arguments.rounds)]
        _print(method, rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--methods", default=",".join(EPOCHS), help="methods to compare, with commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often every side runs")
    parser.add_argument("--epochs", type=float, default=0, help="passes over the rows; by method by default")
    parser.add_argument("--max-length", type=int, default=128, help="limit in tokens")
    parser.add_argument("--batch-size", type=int, default=16, help="examples per step")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_own_process(side: str, method: str) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--method", method]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {method:<18}{side:<9}{figures['rate']:8.1f} rows/s  accuracy {figures['accuracy']:.3f}", flush=True)
    return figures


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    return _measure_ours(arguments) if arguments.side == "ours" else _measure_by_hand(arguments)


def _measure_ours(arguments: argparse.Namespace) -> dict[str, float]:
    from ours import run_ours
    from peak import share_of_peak

    method = arguments.method
    spec: dict[str, Any] = {
        "task": "SequenceClassification",
        "model": {"uri": Path(arguments.model).absolute().as_uri()},
        "data": {**data_spec(arguments), "maxLength": arguments.max_length},
        "method": {"type": method},
        "training": {
            "epochs": arguments.epochs or EPOCHS[method],
            "learningRate": RATES[method],
            "batchSize": arguments.batch_size,
            "earlyStopping": {"patience": 0},
        },
        "evaluation": {"baseline": False, "evalSteps": 100_000},
    }
    report = run_ours(spec, Path.cwd())
    assert report.data is not None  # noqa: S101 -- a finished run has it
    rows = report.data.splits["train"].rows * (arguments.epochs or EPOCHS[method])
    rate = report.throughput["samplesPerSecond"]
    if method == "FeatureExtraction":
        rate = rows / (rows / rate + report.timings["rows.train"])
        return {"rate": rate, "accuracy": report.evaluation.metrics["accuracy"]}
    share = share_of_peak(Path(arguments.model), method, report.throughput["tokensPerSecond"])
    return {"rate": rate, "accuracy": report.evaluation.metrics["accuracy"], "share": share}


def _measure_by_hand(arguments: argparse.Namespace) -> dict[str, float]:
    from plain_trainer import Settings, train_by_hand

    from finetune_api.data import Data
    from finetune_trainer.data import prepare
    from finetune_trainer.storage import Site

    method = arguments.method
    data = prepare(Data.model_validate_json(json.dumps(data_spec(arguments))), site=Site(Path.cwd()))
    settings = Settings(
        model=Path(arguments.model),
        method=method,
        epochs=arguments.epochs or EPOCHS[method],
        learning_rate=RATES[method],
        batch_size=arguments.batch_size,
        max_length=arguments.max_length,
        seed=42,
    )
    with tempfile.TemporaryDirectory() as scratch:
        measured = train_by_hand(data, settings, Path(scratch), padded=arguments.side == "plain")
    return {"rate": measured.samples_per_second, "accuracy": measured.accuracy}


def _print(method: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"\n{method}: {len(rounds)} rounds, medians")
    print(f"  {'side':<42}{'rows/s':>8}{'accuracy':>10}{'ours is faster by (lowest - highest)':>40}")
    for side, words in SIDES.items():
        rate = median(one[side]["rate"] for one in rounds)
        accuracy = median(one[side]["accuracy"] for one in rounds)
        ratios = sorted(one["ours"]["rate"] / one[side]["rate"] for one in rounds)
        factor = f"{median(ratios):.2f}x ({ratios[0]:.2f} - {ratios[-1]:.2f})" if side != "ours" else ""
        print(f"  {words:<42}{rate:>8.1f}{accuracy:>10.3f}{factor:>40}")
    if "share" in rounds[0]["ours"]:
        share = median(one["ours"]["share"] for one in rounds)
        print(f"  this project uses {share:.0%} of the machine's peak FLOP/s on real tokens")
    print()


if __name__ == "__main__":
    main()
