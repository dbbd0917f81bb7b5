"""Volumes and mounts of a trainer pod."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finetune_api import pod
from finetune_api.parent import Parent
from finetune_api.spec import Spec
from finetune_operator.manifests import sources
from finetune_operator.records import Json
from finetune_operator.settings import Profile

CACHE = pod.WORK / "cache"
_TEMPORARY_SIZE = "2Gi"
_READABLE_BY_GROUP = 0o440


@dataclass(frozen=True)
class Mounted:
    """A volume and its mounts in the trainer's container."""

    volume: Json
    mounts: tuple[Json, ...]


def mounted(spec: Spec, profile: Profile, parents: Sequence[Parent] = ()) -> list[Mounted]:
    """All volumes of the pod of `spec`, in a fixed order, results of dependencies included."""
    return [
        _run_file(),
        *_scratch(profile),
        *_secrets(sources.secrets(spec, parents)),
        *_config_maps(spec),
        *_claims(sources.claims(spec, parents), profile),
    ]


def _run_file() -> Mounted:
    """Downward API volume of the pod's annotations, updated by the kubelet for checkpoint requests."""
    annotations = {
        pod.RUN_FILE: pod.RUN_ANNOTATION,
        pod.WRITER: pod.WRITER_ANNOTATION,
        pod.CHECKPOINT_REQUEST: pod.CHECKPOINT_ANNOTATION,
    }
    items = [
        {"path": path.name, "fieldRef": {"fieldPath": f"metadata.annotations['{name}']"}}
        for path, name in annotations.items()
    ]
    return _one("run-file", {"downwardAPI": {"items": items}}, str(pod.RUN_FILE.parent), read_only=True)


def _scratch(profile: Profile) -> Iterator[Mounted]:
    """Writable emptyDir volumes beside the read-only root."""
    yield _one("work", {"emptyDir": {"sizeLimit": profile.work_size}}, str(pod.WORK))
    yield _one("temporary", {"emptyDir": {"sizeLimit": _TEMPORARY_SIZE}}, "/tmp")  # noqa: S108 -- a volume of the pod's own
    shared = {"medium": "Memory", "sizeLimit": profile.shared_memory_size}
    yield _one("shared-memory", {"emptyDir": shared}, "/dev/shm")  # noqa: S108 -- as above


def _secrets(names: list[str]) -> Iterator[Mounted]:
    """Optional Secret volumes, so that the trainer reports missing ones; required ones would block the pod."""
    for index, name in enumerate(names):
        source = {"secretName": name, "optional": True, "defaultMode": _READABLE_BY_GROUP}
        yield _one(f"secret-{index}", {"secret": source}, str(pod.SECRETS / name), read_only=True)


def _config_maps(spec: Spec) -> Iterator[Mounted]:
    """Optional ConfigMap volumes, for the same reason."""
    for index, name in enumerate(sources.config_maps(spec)):
        source = {"name": name, "optional": True}
        yield _one(f"config-map-{index}", {"configMap": source}, str(pod.CONFIG_MAPS / name), read_only=True)


def _claims(named: dict[str, bool], profile: Profile) -> Iterator[Mounted]:
    """One volume per claim, possibly with two mounts: the job's and the profile's cache."""
    cache = profile.cache
    names = sorted({*named, *([cache.claim_name] if cache else [])})
    for index, name in enumerate(names):
        volume, mounts = f"claim-{index}", []
        is_cache = cache is not None and cache.claim_name == name
        if name in named:
            mounts.append(_mount(volume, str(pod.CLAIMS / name), read_only=not named[name]))
        if cache is not None and is_cache:
            mounts.append(_mount(volume, str(CACHE), sub_path=cache.sub_path))
        source = {"claimName": name, "readOnly": not (named.get(name, False) or is_cache)}
        yield Mounted({"name": volume, "persistentVolumeClaim": source}, tuple(mounts))


def _one(name: str, source: Json, path: str, *, read_only: bool = False) -> Mounted:
    return Mounted({"name": name, **source}, (_mount(name, path, read_only=read_only),))


def _mount(name: str, path: str, *, read_only: bool = False, sub_path: str = "") -> Json:
    mount: Json = {"name": name, "mountPath": path}
    if read_only:
        mount["readOnly"] = True
    if sub_path:
        mount["subPath"] = sub_path
    return mount
