"""How does a recipe of examples/recipes do against the script by hand that tutorials teach? Both sides in one go.

    make bench-recipes [ARGS="--recipes sentiment-with-gpt2 --real --rounds 3"]

Both get the same rows, split, seed, budget and settings, those of the recipe. Seconds are of the whole work (load,
tokenise, train, choose, test) and of the processor, since other work on the machine does not change them; with a GPU
they are of the clock. Without --real small models stand in for those of the tutorials, on fewer rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
HAND, OURS, FREE = "the script by hand", "this project", "this project, its own budget"


@dataclass(frozen=True)
class Recipe:
    """A recipe, and what it runs on where the real thing would take hours."""

    script: str
    """Module with the function `by_hand`."""
    model: str
    """What stands in: `encoder`, `decoder` or `t5`."""
    rows: int
    """Rows to train, validate and test on, unless the recipe has a file of its own for some."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that go with the stand-in."""
    free: bool = False
    """Whether the budget of the tutorial is so small that our defaults are worth a look."""
    grid: bool = False
    """Whether the learning rate is chosen on the validation rows."""


RECIPES = {
    "classify-with-a-frozen-encoder": Recipe("frozen_encoder", "encoder", 96, {"data.maxLength": 64}, free=True),
    "answer-questions-with-t5": Recipe(
        "answers_with_t5", "t5", 48, {"training.learningRate": 2e-3, "evaluation.generation.maxNewTokens": 16}
    ),
    "sentiment-with-gpt2": Recipe(
        "gpt2_sentiment", "decoder", 120, {"data.maxLength": 256, "training.learningRate": 1e-3}
    ),
    "classify-with-lora": Recipe(
        "lora_classifier",
        "encoder",
        120,
        {"method.lora.targetModules": ["query", "value"], "training.epochs": 3, "data.maxLength": 64},
        grid=True,
    ),
}


def main() -> None:
    """Run one side (for ourselves), or all of them in turn and print the tables."""
    arguments = _parse()
    if arguments.side:
        print(json.dumps(_measure(arguments)))
        return
    names = arguments.recipes.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        models = (
            {}
            if arguments.real or arguments.model
            else _stand_ins({RECIPES[name].model for name in names}, Path(scratch))
        )
        for name in names:
            model = arguments.model or models.get(RECIPES[name].model, "")
            sides = [HAND, OURS, *([FREE] if RECIPES[name].free else [])]
            rounds = [
                {side: _in_own_process(name, side, ["--model", model, "--seed", str(42 + number)]) for side in sides}
                for number in range(arguments.rounds)
            ]
            _print(name, rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default=",".join(RECIPES), help="names of files, with commas")
    parser.add_argument("--real", action="store_true", help="the recipes as they stand: their models, all rows")
    parser.add_argument("--model", default="", help="URI of another model for the recipe")
    parser.add_argument("--rows", type=int, default=0, help="use at most this many rows")
    parser.add_argument("--rounds", type=int, default=2, help="how often every side runs, each time with another seed")
    for name in ("--recipe", "--side"):
        parser.add_argument(name, default="", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=42, help=argparse.SUPPRESS)
    return parser.parse_args()


def _stand_ins(wanted: set[str], scratch: Path) -> dict[str, str]:
    """URIs of small models: the encoder of the quickstart, a tiny language model, a T5 with random weights."""
    models = {"decoder": (ROOT / "tests/models/stories260k").as_uri()}
    if "encoder" in wanted:
        fetch = [sys.executable, str(ROOT / "examples/fetch_model.py")]
        models["encoder"] = subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    if "t5" in wanted:
        from encoder_decoders import write_encoder_decoder

        rows = [json.loads(line) for line in (ROOT / "examples/data/xquad_en.jsonl").read_text().splitlines()]
        texts = [text for row in rows for text in row.values()]
        models["t5"] = write_encoder_decoder(scratch / "t5", "t5", texts, 600).as_uri()
    return models


def _in_own_process(name: str, side: str, more: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--recipe", name, "--side", side, *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items() if key != "seconds")
    print(f"  {name:<32}{side:<32}{figures['seconds']:8.1f} s  {shown}", flush=True)
    return figures


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    import peft
    import transformers

    del peft, transformers  # what takes seconds to import is outside on both sides
    run = _ours if arguments.side != HAND else _by_hand
    return run(arguments, RECIPES[arguments.recipe])


def _by_hand(arguments: argparse.Namespace, recipe: Recipe) -> dict[str, float]:
    from importlib import import_module

    from finetune_trainer.data import prepare
    from finetune_trainer.models.fetching import fetch_model
    from finetune_trainer.storage import Site

    loaded = _loaded(arguments, recipe)
    train: Callable[..., dict[str, float]] = import_module(f"recipes.{recipe.script}").by_hand
    spec, site = loaded.job.spec, Site(loaded.base)
    folder = fetch_model(spec.model, site).folder
    clock = _clock()
    start = clock()
    figures = train(spec, prepare(spec.data, site=site, task=spec.task), folder)
    return figures | {"seconds": clock() - start}


def _clock() -> Callable[[], float]:
    import torch

    return time.perf_counter if torch.cuda.is_available() else time.process_time


def _ours(arguments: argparse.Namespace, recipe: Recipe) -> dict[str, float]:
    from ours import run_ours
    from recipes.lora_classifier import RATES

    loaded = _loaded(arguments, recipe)
    spec = loaded.source["spec"]
    if arguments.side == FREE:
        spec["training"] = {"seed": arguments.seed}
    clock = _clock()
    start = clock()
    changes = [{"learningRate": rate} for rate in RATES] if recipe.grid else [{}]
    reports = [run_ours({**spec, "training": {**spec["training"], **change}}, loaded.base) for change in changes]
    best = min(reports, key=lambda report: report.evaluation.best.value if report.evaluation.best else float("inf"))
    figures = {name: value for name, value in best.evaluation.metrics.items() if name in _SHOWN}
    return figures | {"seconds": clock() - start}


_SHOWN = ("evalLoss", "accuracy", "f1", "exactMatch")


def _loaded(arguments: argparse.Namespace, recipe: Recipe) -> Any:
    """The recipe with the changes of this run."""
    from finetune_trainer.manifest import load_job

    changes: dict[str, Any] = {"training.seed": arguments.seed, "evaluation.baseline": False}
    if arguments.model:
        changes |= {"model.uri": arguments.model}
    changes |= {} if arguments.real else {"data.maxRows": recipe.rows, **recipe.changes}
    changes |= {"data.maxRows": arguments.rows} if arguments.rows else {}
    overrides = [f"{path}={json.dumps(value)}" for path, value in changes.items() if path != "model.uri"]
    overrides += [f"model.uri={changes['model.uri']}"] if arguments.model else []
    return load_job(ROOT / "examples" / "recipes" / f"{arguments.recipe}.yaml", overrides)


def _print(name: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"\n{name}: {len(rounds)} rounds, medians (lowest - highest)")
    metrics = [metric for metric in rounds[0][HAND] if metric != "seconds"]
    print(f"  {'side':<32}{'seconds':>9}{''.join(f'{metric:>26}' for metric in metrics)}{'faster by':>24}")
    for side in rounds[0]:
        seconds = median(one[side]["seconds"] for one in rounds)
        quality = "".join(f"{_spread([one[side][metric] for one in rounds], 3):>26}" for metric in metrics)
        ratios = [one[HAND]["seconds"] / one[side]["seconds"] for one in rounds]
        print(f"  {side:<32}{seconds:>9.1f}{quality}{_spread(ratios, 1) if side != HAND else '':>24}")
    print(flush=True)


def _spread(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
