"""Environment of the check's processes: it runs from a copied tree, by any Python that has the trainer's libraries."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
REHEARSAL = "FINETUNE_GPU_REHEARSAL"
"""Variable that has the tests marked `gpu` run on a CPU."""
_SOURCES = ("crds", "trainer-image", "benchmarks")
_TRL = ROOT / "runs" / "bench-llm"
"""Where `make bench-llm` installs TRL."""


def trl_folders() -> list[str]:
    """Folder of the newest TRL that `make bench-llm` has installed; none where it has not."""
    return sorted(str(folder) for folder in _TRL.glob("trl==*"))[-1:]


def environment(scratch: Path, *, rehearsal: bool) -> dict[str, str]:
    """Environment of a process that imports the project, without a way to the hub."""
    known = os.environ.get("PYTHONPATH", "")
    folders = [
        *(str(ROOT / name) for name in _SOURCES),
        *_metadata(scratch),
        *trl_folders(),
        *([known] if known else []),
    ]
    found = {
        "PYTHONPATH": os.pathsep.join(folders),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "FINETUNE_CACHE": str(scratch / "cache"),
        REHEARSAL: "1" if rehearsal else "",
    }
    return {**os.environ, **found, **({"CUDA_VISIBLE_DEVICES": ""} if rehearsal else {})}


def _metadata(scratch: Path) -> list[str]:
    """A folder with the version of the trainer where it is not installed: results name it."""
    try:
        version("finetune-trainer")
    except PackageNotFoundError:
        folder = scratch / "metadata"
        info = folder / "finetune_trainer-0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: finetune-trainer\nVersion: 0\n")
        return [str(folder)]
    return []
