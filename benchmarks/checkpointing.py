"""How long does training wait for a checkpoint? Saved beside the training, and waited for, in turn in one run.

    PYTHONPATH=tests/cluster:tests/chaos python benchmarks/checkpointing.py [--rounds 3] [--rate 40]

A model of MiniLM's size is trained in full; weights and optimiser go to a real S3 server through a proxy that lets
`--rate` megabytes a second pass. Both sides use the same store, loop and steps; the plain one waits until what it
saved is committed. Proxy and server run in a process of their own, but on the same machine: training gets one core.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import s3_server
from checkpointing_run import ASYNCHRONOUS, SYNCHRONOUS, Saved
from storage_proxy import StorageProxy

GOAL = 0.05
_SIDES = {SYNCHRONOUS: "waited for (plain)", ASYNCHRONOUS: "saved beside the training"}


def main() -> None:
    """Start the store, train against it in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="checkpoints of each side")
    parser.add_argument("--rate", type=float, default=40, help="megabytes a second that go up to the store")
    parser.add_argument("--threads", type=int, default=1, help="cores that training uses")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, s3_server.running(Path(folder)) as server:
        server.bucket("results")
        with StorageProxy(server.endpoint, upload_rate=chosen.rate * 1e6) as proxy:
            store = {**server.credentials, "AWS_ENDPOINT_URL": proxy.endpoint}
            saved = _train(chosen.rounds, {**store, "OMP_NUM_THREADS": str(chosen.threads)})
    _print(saved, chosen.rate)


def _train(rounds: int, environment: dict[str, str]) -> list[Saved]:
    command = [sys.executable, str(Path(__file__).with_name("checkpointing_run.py")), str(rounds)]
    saved = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        assert process.stdout is not None  # noqa: S101 -- it is a pipe
        for line in process.stdout:
            saved.append(Saved(**json.loads(line)))
            print(f"  {saved[-1]}", flush=True)
    if process.returncode:
        sys.exit(process.returncode)
    return saved


def _print(saved: list[Saved], rate: float) -> None:
    size = median(one.size for one in saved) / 1e6
    print(f"\n{size:.0f} MB a checkpoint, {rate:.0f} MB/s to the store; medians (lowest - highest)")
    heads = ("training stood still, s", "with slower steps, s", "upload, s")
    print(f"  {'side':<28}{''.join(f'{head:>26}' for head in heads)}{'stall/upload':>14}")
    shares = {}
    for side, words in _SIDES.items():
        own = [one for one in saved if one.side == side]
        shares[side] = median(one.stall / one.upload for one in own)
        figures = (_spread([one.stall for one in own]), _spread([one.stall + one.slower for one in own]))
        upload = _spread([one.upload for one in own])
        print(f"  {words:<28}{figures[0]:>26}{figures[1]:>26}{upload:>26}{shares[side]:>14.1%}")
    verdict = "reached" if shares[ASYNCHRONOUS] < GOAL else "MISSED"
    print(f"  goal: training stands still for less than {GOAL:.0%} of the upload: {verdict}")


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


if __name__ == "__main__":
    main()
