"""An earlier version of the product, from an archive of its sources: its chart, and its images in the cluster."""

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import images
from state import Bed

RELEASES = images.ROOT / "tests" / "data" / "releases"


@dataclass(frozen=True)
class EarlierVersion:
    """A version by the name of its archive, unpacked in a folder."""

    name: str
    tree: Path

    @property
    def chart(self) -> Path:
        """Its chart."""
        return self.tree / "charts" / "finetune-operator"

    def image(self, component: str) -> str:
        """Name of the image of one of its components."""
        return f"{images.IMAGES[component].rpartition(':')[0]}:{self.name}"

    def bring_images(self, bed: Bed) -> None:
        """Build its images and bring them to the cluster.

        Raises `BedError` when one can't be built or loaded.
        """
        for component in images.IMAGES:
            images.build(component, self.image(component), self.tree)
        images.load(bed.kind, [self.image(component) for component in images.IMAGES])


def unpack(name: str, folder: Path) -> EarlierVersion:
    """Unpack the archive of that name, and put the present requirements beside its sources."""
    with tarfile.open(RELEASES / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    shutil.copytree(images.ROOT / "requirements", folder / "requirements")
    shutil.copy(images.ROOT / ".dockerignore", folder)
    return EarlierVersion(name, folder)
