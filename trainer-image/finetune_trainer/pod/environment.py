"""What a pod gives a process: its places, and the folder that may be written."""

import os
from pathlib import Path, PurePosixPath

from finetune_api import pod
from finetune_api.run_file import RunFile, Stores
from finetune_trainer.storage import Mounts, Site

_CACHES = {"FINETUNE_CACHE": "cache/finetune", "HF_HOME": "cache/huggingface", "XDG_CACHE_HOME": "cache"}


def below(root: Path, path: PurePosixPath) -> Path:
    """An agreed place of a pod, with `root` in place of `/`."""
    return root / path.relative_to("/")


def site_of(order: RunFile | None, root: Path) -> Site:
    """What addresses and Secrets mean in this pod; without an order only that it is one."""
    base = below(root, pod.WORK)
    if order is None:
        return Site(base, Mounts.below(root, ""), Stores())
    return Site(base, Mounts.below(root, order.job.namespace), order.stores, order.parents)


def use_work_folder(root: Path) -> None:
    """Let temporary files and caches go to the pod's work folder, unless the image says otherwise."""
    work = below(root, pod.WORK)
    if not os.access(work, os.W_OK):
        return
    (work / "tmp").mkdir(exist_ok=True)
    os.environ.setdefault("TMPDIR", str(work / "tmp"))
    for name, folder in _CACHES.items():
        os.environ.setdefault(name, str(work / folder))


def use_hub_settings(stores: Stores) -> None:
    """Hand the administrator's settings of the hub to its libraries, which read them when they are imported."""
    os.environ.update({name: value for name, value in stores.settings.items() if name.startswith("HF_")})
