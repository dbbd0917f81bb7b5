"""How fast is tuning a language model against TRL's trainers? Both sides in one go, in turn, ratios with their spread.

    make bench-llm [ARGS="--rows 96 --pairs 48 --rounds 2 --compare sft"]

A random Llama of 17 million weights, LoRA on all linear modules, same rows, seed, batch and rate; rows a second are of
training alone, by processor time, since other work on the machine does not change that. For DPO the reference's passes
count. The loss is of the answers of held-out rows, measured alike for all; memory is the peak of the whole process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from llm.texts import write_model, write_rows

ROOT = Path(__file__).parents[1]
TRL = "trl==1.16.0"
OURS = "this project"
SIDES = {
    "sft": ("TRL, its defaults", "TRL, FP32", "TRL, FP32, grouped by length", "TRL, FP32, packed", OURS),
    "dpo": ("TRL, its defaults", "TRL, FP32", OURS),
}
Figures = dict[str, float]


def main() -> None:
    """Run one side (for ourselves), or all of them in turn and print the tables."""
    arguments = _parse()
    if arguments.side:
        from llm.sides import measure

        print(json.dumps(measure(arguments)))
        return
    library = _install_trl()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(folder / "model")
        write_rows(folder, rows=arguments.rows, pairs=arguments.pairs)
        for kind in arguments.compare.split(","):
            rounds = [
                {side: _in_own_process(folder, library, kind, side) for side in _sides(kind, arguments.skip)}
                for _ in range(arguments.rounds)
            ]
            _print(kind, rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", default="sft,dpo", help="sft, dpo or both, with a comma")
    parser.add_argument("--rows", type=int, default=96, help="rows to train on (sft)")
    parser.add_argument("--pairs", type=int, default=48, help="pairs to train on (dpo)")
    parser.add_argument("--rounds", type=int, default=2, help="how often every side runs")
    parser.add_argument("--skip", default="", help="sides to leave out, with semicolons")
    for name in ("--side", "--kind", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


def _install_trl() -> Path:
    """TRL in a folder of its own: no part of the product needs it. What it needs itself is in the environment."""
    folder = ROOT / "runs" / "bench-llm" / TRL
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), TRL]
        subprocess.run(command, check=True)
    return folder


def _sides(kind: str, skipped: str) -> list[str]:
    return [side for side in SIDES[kind] if side not in skipped.split(";")]


def _in_own_process(folder: Path, library: Path, kind: str, side: str) -> Figures:
    command = [sys.executable, __file__, *sys.argv[1:], "--folder", str(folder), "--kind", kind, "--side", side]
    environment = {**os.environ, "PYTHONPATH": str(library), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{side}: {done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    shown = f"{figures['rate']:7.2f} rows/s  loss {figures['loss']:.4f}  {figures['peak']:.0f} MB"
    print(f"  {kind:<5}{side:<30}{shown}", flush=True)
    return figures


def _print(kind: str, rounds: list[dict[str, Figures]]) -> None:
    print(f"\n{kind}: {len(rounds)} rounds, medians")
    print(f"  {'side':<32}{'rows/s':>8}{'loss':>9}{'MB':>7}{'ours is faster by':>24}{'memory of ours':>16}")
    for side in rounds[0]:
        rate, loss, peak = (median(one[side][name] for one in rounds) for name in ("rate", "loss", "peak"))
        ratios = sorted(one[OURS]["rate"] / one[side]["rate"] for one in rounds)
        factor = f"{median(ratios):.2f}x ({ratios[0]:.2f} - {ratios[-1]:.2f})"
        memory = median(one[OURS]["peak"] / one[side]["peak"] for one in rounds)
        beside = f"{factor:>24}{memory:>16.2f}" if side != OURS else ""
        print(f"  {side:<32}{rate:>8.2f}{loss:>9.4f}{peak:>7.0f}{beside}")
    print()


if __name__ == "__main__":
    main()
