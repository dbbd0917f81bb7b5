"""Claims: numbered files, made once each, that say which attempt of a job may write to its output."""

import json
import socket
from datetime import UTC, datetime

from finetune_api.failures import Fenced, OutputExists, OutputNotWritable
from finetune_trainer.storage import Folder

_FOLDER = "claims"
_MOST_TRIES = 100


def take_claim(folder: Folder) -> int:
    """Take the next free number of an output folder; all older attempts are fenced from then on.

    Also proves, before any training, that the folder can be written. Raises `OutputNotWritable`.
    """
    content = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname()}
    for _ in range(_MOST_TRIES):
        number = newest_claim(folder) + 1
        try:
            folder.put_new(f"{_FOLDER}/{number}", json.dumps(content).encode())
        except OutputExists:  # another attempt was faster
            continue
        return number
    hint = "end what keeps starting this job, or give it another spec.output.uri"
    raise OutputNotWritable(f"{folder.uri()} is claimed over and over", where="spec.output.uri", hint=hint)


def newest_claim(folder: Folder) -> int:
    """Number of the attempt that owns an output folder; 0 where there is none."""
    names = [path.removeprefix(f"{_FOLDER}/") for path, _ in folder.list(_FOLDER)]
    return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)


def check_claim(folder: Folder, number: int) -> None:
    """Raise `Fenced` where a newer attempt than `number` owns the folder."""
    newest = newest_claim(folder)
    if newest > number:
        hint = f"nothing is lost: attempt {newest} does the same work"
        raise Fenced(f"attempt {newest} has taken over {folder.uri()} from this one, attempt {number}", hint=hint)
