"""How good are results with defaults against a careful script with the same budget? Both sides, baseline included.

python benchmarks/quality.py --model FOLDER [--train FILE --validation FILE --test FILE] [--seeds 1]
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

from careful import tune_by_hand
from ours import add_data_options, data_spec, run_ours

from finetune_api.data import Data
from finetune_api.resolved import DEFAULTS
from finetune_api.tasks import MethodType, Task
from finetune_trainer.cli.running import quiet_libraries
from finetune_trainer.data import prepare
from finetune_trainer.storage import Site


def main() -> None:
    """Run every method on both sides for every seed and print the table."""
    arguments = _parse()
    quiet_libraries()
    spec = data_spec(arguments)
    print(f"{Path(arguments.train).parent.name}, {arguments.seeds} seed(s), test rows")
    print(f"  {'method':<18}{'side':<14}{'baseline':>9}{'accuracy':>10}{'f1Macro':>9}{'seconds':>9}")
    for method in arguments.methods.split(","):
        ours = [_ours(arguments, spec, method, seed) for seed in range(1, arguments.seeds + 1)]
        _print(method, "this project", ours)
        by_hand = [_by_hand(arguments, spec, method, seed) for seed in range(1, arguments.seeds + 1)]
        _print(method, "careful script", by_hand)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--methods", default="FeatureExtraction,LoRA,Full", help="methods to compare, with commas")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--max-length", type=int, default=128, help="limit in tokens")
    return parser.parse_args()


def _ours(arguments: argparse.Namespace, spec: dict[str, Any], method: str, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    report = run_ours(
        {
            "task": "SequenceClassification",
            "model": {"uri": Path(arguments.model).absolute().as_uri()},
            "data": {**spec, "maxLength": arguments.max_length},
            "method": {"type": method},
            "training": {"seed": seed},
        },
        Path.cwd(),
    )
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    return {
        "accuracy": tuned["accuracy"],
        "f1Macro": tuned["f1Macro"],
        "baseline": before["accuracy"],
        "seconds": time.perf_counter() - start,
    }


def _by_hand(arguments: argparse.Namespace, spec: dict[str, Any], method: str, seed: int) -> dict[str, float]:
    data = prepare(Data.model_validate_json(json.dumps(spec)), site=Site(Path.cwd()))
    defaults = DEFAULTS[Task.SEQUENCE_CLASSIFICATION][MethodType(method)]
    settings = {
        "epochs": defaults.epochs,
        "learning_rate": defaults.learning_rate,
        "batch_size": defaults.batch_size,
        "max_length": arguments.max_length,
        "seed": seed,
    }
    start = time.perf_counter()
    return tune_by_hand(data, Path(arguments.model), method, settings) | {"seconds": time.perf_counter() - start}


def _print(method: str, side: str, runs: list[dict[str, float]]) -> None:
    figures = {name: mean(run[name] for run in runs) for name in runs[0]}
    baseline = f"{figures['baseline']:.3f}" if "baseline" in figures else ""
    print(
        f"  {method:<18}{side:<14}{baseline:>9}{figures['accuracy']:>10.3f}{figures['f1Macro']:>9.3f}"
        f"{figures['seconds']:>9.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
