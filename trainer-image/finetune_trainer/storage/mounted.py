"""Addresses on local disk: plain files, and the volumes of a pod."""

from collections.abc import Iterable
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path

from finetune_api.failures import JobFailure, PermissionDenied, SpecInvalid
from finetune_trainer.storage.addresses import CLAIM, CONFIG_MAP, LOCAL, Address, literal_address, parse_address
from finetune_trainer.storage.disk_errors import reading
from finetune_trainer.storage.site import Mounts, Site

_MOST_NAMES = 10


@dataclass(frozen=True)
class OnDisk:
    """A local file or folder."""

    path: Path
    inside: Path | None
    """Folder that nothing may lead out of, links included; None where all may be read."""

    def leads_out(self, below: str = "") -> bool:
        """Whether the real path of the file `below` is outside."""
        return self.inside is not None and not (self.path / below).resolve().is_relative_to(self.inside.resolve())


def find_address(uri: str, site: Site) -> Address:
    """`parse_address`, but for a `file://` URI that only exists without percent-decoding.

    A file may really be called `a%20b.csv`. Raises as `parse_address` does.
    """
    address, literal = parse_address(uri, site.base), literal_address(uri, site.base)
    if literal is not None and lexists(literal.path) and not lexists(address.path):
        return literal
    return address


def on_disk(address: Address, site: Site) -> OnDisk | None:
    """Local path of `address`; None for object stores.

    Raises `SpecInvalid` for volumes of a cluster where there is none, `PermissionDenied` for a file of a pod that the
    administrator does not allow.
    """
    if address.scheme == LOCAL:
        return _file(Path(address.path), site)
    if address.scheme not in (CLAIM, CONFIG_MAP):
        return None
    if site.mounts is None:
        raise SpecInvalid(f"{address} is in a cluster only", hint=IN_A_CLUSTER_HINT)
    kinds = {CLAIM: site.mounts.claims, CONFIG_MAP: site.mounts.config_maps}
    volume = kinds[address.scheme] / address.bucket
    return OnDisk(volume / address.path, inside=volume)


IN_A_CLUSTER_HINT = "name a file:// here, or apply the job to a cluster"


def _file(path: Path, site: Site) -> OnDisk:
    if site.mounts is None:
        return OnDisk(path, inside=None)
    for root in site.stores.file_roots:
        if path.is_relative_to(root):
            return OnDisk(path, inside=Path(root))
    allowed = f"allowed are {', '.join(site.stores.file_roots)}; or " if site.stores.file_roots else ""
    raise PermissionDenied(f"file://{path} may not be read in this cluster", hint=f"{allowed}{_REMOTE_HINT}")


_REMOTE_HINT = "use s3://, gs://, az://, hf://, pvc:// or configmap://"


def check_present(address: Address, site: Site, missing: type[JobFailure], field: str = "") -> None:
    """Check that a file or folder of a pod's volume exists, and that its claim or ConfigMap is mounted.

    Raises `missing` with what there is instead; does nothing for other addresses, whose readers say it themselves.
    """
    if address.scheme not in (CLAIM, CONFIG_MAP):
        return
    place = on_disk(address, site)
    if place is None or site.mounts is None:
        return
    with reading(str(address), missing):
        volume = place.inside or place.path
        if not volume.is_dir():
            raise missing(_no_volume(address, site.mounts), where=field, hint=_creation(address, site.mounts))
        if not place.leads_out() and not place.path.exists():
            raise missing(f"{address} does not exist", where=field, hint=_what_is_there(address, place.path))


def _no_volume(address: Address, mounts: Mounts) -> str:
    kind = "claim" if address.scheme == CLAIM else "ConfigMap"
    return f"{address}: there is no {kind} {address.bucket} in namespace {mounts.namespace}"


def _creation(address: Address, mounts: Mounts) -> str:
    if address.scheme == CONFIG_MAP:
        return f"kubectl -n {mounts.namespace} create configmap {address.bucket} --from-file={address.path}=FILE"
    return f"kubectl -n {mounts.namespace} get pvc; name one of them, or create {address.bucket}"


def _what_is_there(address: Address, path: Path) -> str:
    """Names beside a missing one, for a fix."""
    if address.scheme == CONFIG_MAP:
        return f"{address.bucket} has {listed(visible(path.parent)) or 'no keys'}; name one of them"
    there = address
    while not path.is_dir():
        path, there = path.parent, there.parent
    return f"{there} has {listed(visible(path)) or 'nothing in it'}; check the path"


def visible(folder: Path) -> list[str]:
    """Names in a folder, sorted, without hidden ones such as the kubelet's links."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def listed(names: Iterable[str]) -> str:
    """Some names, as text."""
    found = list(names)
    more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return ", ".join(found[:_MOST_NAMES]) + more
