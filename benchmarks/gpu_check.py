"""Does all of it work on a GPU, how fast, and in how much memory? One command, ten minutes at most, one table.

    make gpu-check [ARGS="--family qwen3 --output table.md"]
    make gpu-check ARGS=--dry-run        rehearses every step on a CPU, with tiny sizes; its figures mean nothing

It needs no network: a Llama or Qwen of 1 to 2 billion random weights, its tokenizer and its rows are made on the
spot. It runs from a copy of the tree, also by another Python that has the trainer's libraries and pytest:
`python benchmarks/gpu_check.py`. What needs a package that is not there (TRL, flash_attn, Liger) is skipped and named.
`make bench-llm` puts TRL below `runs/bench-llm`, where it is found.

Tokens per second are of training alone, after the first steps, without padding; how MFU is computed is said in
`benchmarks/gpu/work.py`; peaks are of PyTorch's allocator during training; the estimate is that of
`finetune-trainer estimate`. Ends with 1 if a test or a way of training fails or an estimate is more than 15 % off,
and with 2 where there is no GPU.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu.inputs import write_model, write_rows
from gpu.processes import Check
from gpu.python_path import trl_folders
from gpu.sizes import FAMILIES, Size, size_of
from gpu.table import HEADER, Device, Row, line
from gpu.ways import Way, way_named, ways
from gpu.work import labelled_share, published_peak

_NO_GPU = 2


def main() -> int:
    """Run all checks, or measure one way (for ourselves); returns the exit code."""
    given = _parse()
    sys.path.extend(trl_folders())
    size = size_of(given.family, rehearsal=given.dry_run)
    if given.measure:
        for name in given.measure.split(";"):
            print(json.dumps({"way": name, **_measured(way_named(name), given.folder, size)}), flush=True)
        return 0
    device = _device(rehearsal=given.dry_run)
    if device is None:
        print("There is no GPU here, so nothing was checked. --dry-run rehearses the check on the CPU.")
        return _NO_GPU
    return _check(given, size, device)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="rehearse every step on the CPU, with tiny sizes")
    parser.add_argument("--family", choices=FAMILIES, default="llama", help="kind of the model that is measured")
    parser.add_argument("--minutes", type=float, help="time limit; by default 9.5, or 30 for a rehearsal")
    parser.add_argument("--ways", help="ways of training to measure, with semicolons; by default all")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    parser.add_argument("--output", type=Path, help="also write the table into this file")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measured(way: Way, folder: Path, size: Size) -> dict[str, Any]:
    """Figures of a way, or why it failed: whatever ends one, the others are still measured."""
    if way.by_trl:
        from gpu.trl_side import measure
    else:
        from gpu.job_side import measure
    try:
        return {"figures": measure(way, folder, size)}
    except Exception as error:  # noqa: BLE001 -- said in the table
        return {"failed": f"{type(error).__name__}: {error}"}


def _device(*, rehearsal: bool) -> Device | None:
    if rehearsal:
        return Device("the CPU, as a rehearsal: its figures mean nothing", 0, is_rehearsal=True)
    import torch

    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return Device(name, published_peak(name))


def _check(given: argparse.Namespace, size: Size, device: Device) -> int:
    end = time.monotonic() + 60 * (given.minutes or (30 if given.dry_run else 9.5))
    rows, written = list[Row](), [*_heading(size, device), HEADER]
    print("\n".join(written), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        check = Check(Path(scratch), size, end, given.dry_run, Path(__file__))
        write_rows(check.scratch, size)
        labelled = labelled_share(check.scratch / "rows.jsonl")
        for row in _rows(check, given):
            rows.append(row)
            written.append(line(row, size, device, labelled))
            print(written[-1], flush=True)
    if given.output:
        given.output.write_text("\n".join(written) + "\n")
    return _verdict(rows, rehearsal=given.dry_run)


def _heading(size: Size, device: Device) -> list[str]:
    import torch
    import transformers

    versions = f"PyTorch {torch.__version__}, transformers {transformers.__version__}"
    peak = f", peak of {device.peak / 1e12:,.0f} TFLOP/s" if device.peak else ""
    work = f"{size.steps} steps of {size.batch} rows of at most {size.longest} tokens"
    return [f"On {device.name}{peak}; {versions}; {size.family} of random weights, BF16, {work}.", ""]


def _rows(check: Check, given: argparse.Namespace) -> Iterator[Row]:
    if not given.no_tests:
        yield from check.tests()
    write_model(check.scratch / "model", check.size.family, check.size.config, check.size.longest)
    wanted = given.ways.split(";") if given.ways else None
    chosen = {way: missing for way, missing in ways() if wanted is None or way.name in wanted}
    yield from (Row(way.name, f"skipped: {missing}") for way, missing in chosen.items() if missing)
    yield from check.measured([way for way, missing in chosen.items() if not missing])


def _verdict(rows: list[Row], *, rehearsal: bool) -> int:
    failed = [row.name for row in rows if row.fails(rehearsal=rehearsal)]
    print(f"\n{len(rows)} checks, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
