"""Serialisation of a snapshot: one safetensors file per part, and `state.json`. Never pickle."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune_api.checkpoint import CheckpointManifest
from finetune_trainer.checkpoints.snapshot import Snapshot

STATE = "state.json"
TENSORS = ".safetensors"
_PART = re.compile(r"[a-z0-9_]+")
_DISK_ERROR = re.compile(r"os error (\d+)")
_OVERHEAD = 1 << 20
"""Bytes for headers and the rounding up to blocks; `state.json` comes on top."""


def bytes_needed(snapshot: Snapshot) -> int:
    """Upper bound of the size of the files of `write_snapshot`, in bytes."""
    tensors = sum(
        tensor.numel() * tensor.element_size() for part in snapshot.parts.values() for tensor in part.values()
    )
    return tensors + len(_state(snapshot)) + _OVERHEAD


def write_snapshot(snapshot: Snapshot, folder: Path) -> None:
    """Write all files into the existing `folder`; they are synced to disk when it returns.

    Raises `OSError` where the disk refuses, `ValueError` for names and values that can't be kept.
    """
    for name, tensors in snapshot.parts.items():
        if not _PART.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a part")
        _write_tensors(tensors, folder / f"{name}{TENSORS}")
    (folder / STATE).write_bytes(_state(snapshot))
    for file in folder.iterdir():
        _sync(file)


def read_snapshot(manifest: CheckpointManifest, files: Mapping[str, Path]) -> Snapshot:
    """Read a snapshot from verified files: local copies by their names in the manifest.

    Raises `ValueError` where they are not what this version writes.
    """
    try:
        values = json.loads(files[STATE].read_bytes())
        parts = {name.removesuffix(TENSORS): load_file(file) for name, file in files.items() if name.endswith(TENSORS)}
    except (KeyError, SafetensorError) as error:
        raise ValueError(f"its files can't be read: {error}") from error
    return Snapshot(manifest.step, manifest.epoch, parts, values, manifest.metric)


def _state(snapshot: Snapshot) -> bytes:
    return json.dumps(snapshot.values, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    try:
        save_file(_separate(tensors), file)
    except SafetensorError as error:
        found = _DISK_ERROR.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(file)) from error


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors without shared memory, as safetensors requires; shared ones are duplicated."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        whole = tensor.detach().contiguous()
        memory = whole.untyped_storage().data_ptr()
        separate[name] = whole.clone() if memory in seen else whole
        seen.add(memory)
    return separate


def _sync(file: Path) -> None:
    """Sync written files to disk (`fsync`), since some file systems report errors only then."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
