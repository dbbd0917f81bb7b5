"""`Site`: relative files, claims, ConfigMaps and Secrets of a run on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune_api import pod
from finetune_api.parent import Parent
from finetune_api.run_file import Stores
from finetune_api.uris import parent_job


@dataclass(frozen=True)
class Mounts:
    """Mount paths of a pod."""

    claims: Path
    """Persistent volume claims, as `<claim name>/...`."""
    config_maps: Path
    """ConfigMaps, as `<name>/<key>`."""
    secrets: Path
    """Secrets, as `<name>/<key>`."""
    namespace: str
    """The job's namespace, for remedies."""

    @classmethod
    def below(cls, root: Path, namespace: str) -> "Mounts":
        """The agreed mount paths (`finetune_api.pod`), with `root` in place of `/`."""
        claims, config_maps, secrets = (
            root / path.relative_to("/") for path in (pod.CLAIMS, pod.CONFIG_MAPS, pod.SECRETS)
        )
        return cls(claims, config_maps, secrets, namespace)


@dataclass(frozen=True)
class Site:
    """Resolution of addresses and Secrets of a job on this machine.

    Without `mounts` it is a laptop: there are no claims and ConfigMaps, any file may be read, and credentials come
    from the environment. With them it is a pod: files are read below `stores.file_roots` only.
    """

    base: Path
    """What relative `file://` paths start from, usually the folder of the manifest."""
    mounts: Mounts | None = None
    """Where a pod has its volumes; None outside of clusters."""
    stores: Stores = field(default_factory=Stores)
    """What the administrator says about stores and the hub."""
    parents: Sequence[Parent] = ()
    """What each `finetunejob://` in the spec stands for."""

    def parent(self, uri: str) -> Parent | None:
        """Result of a `finetunejob://name`; None for other addresses, or where it is not given."""
        name = parent_job(uri)
        return next((parent for parent in self.parents if parent.name == name), None)
