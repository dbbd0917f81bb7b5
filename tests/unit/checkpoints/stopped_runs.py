"""Runs of the command as processes that are asked to stop on the way."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

STOP_AT = 5
"""Step from which on a run is asked to stop."""


def start(job: Path, uid: str, *more: str) -> subprocess.Popen[str]:
    """Start the run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "finetune_trainer", "run", str(job), "--uid", uid, "--json", *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 -- no threads
    )


def stopped(job: Path, uid: str) -> int:
    """Start the run, ask it to stop after some steps, and return its exit code."""
    process = start(job, uid)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["step"] >= STOP_AT:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=120)
    return process.returncode


def finished(process: subprocess.Popen[str]) -> int:
    """Wait for a run, and return its exit code."""
    process.communicate(timeout=120)
    return process.returncode
