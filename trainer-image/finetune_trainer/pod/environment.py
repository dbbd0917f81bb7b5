"""Environment of a pod: paths, work folder and hub settings."""

import os
from pathlib import Path, PurePosixPath

from finetune_api import pod
from finetune_api.run_file import RunFile, Stores
from finetune_trainer.storage import Mounts, Site

_CACHES = {"FINETUNE_CACHE": "cache/finetune", "HF_HOME": "cache/huggingface", "XDG_CACHE_HOME": "cache"}


def below(root: Path, path: PurePosixPath) -> Path:
    """An agreed path of a pod, with `root` in place of `/`."""
    return root / path.relative_to("/")


def site_of(order: RunFile | None, root: Path) -> Site:
    """The `Site` of this pod; without a run file only that it is one."""
    base = below(root, pod.WORK)
    if order is None:
        return Site(base, Mounts.below(root, ""), Stores())
    return Site(base, Mounts.below(root, order.job.namespace), order.stores, order.parents)


def use_work_folder(root: Path) -> None:
    """Direct temporary files and caches to the pod's work folder, unless the image sets another."""
    work = below(root, pod.WORK)
    if not os.access(work, os.W_OK):
        return
    (work / "tmp").mkdir(exist_ok=True)
    os.environ.setdefault("TMPDIR", str(work / "tmp"))
    for name, folder in _CACHES.items():
        os.environ.setdefault(name, str(work / folder))


def use_hub_settings(stores: Stores) -> None:
    """Set the administrator's hub settings in the environment, where hub libraries read them at import."""
    os.environ.update({name: value for name, value in stores.settings.items() if name.startswith("HF_")})
