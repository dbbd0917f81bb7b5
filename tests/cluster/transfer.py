"""Copies an image from buildah's store to containerd: only the layers that containerd does not have.

buildah writes a layout in which the known layers seem to be there already, as links to containerd's own files, so it
skips them. The rest is imported as an archive; containerd takes an archive that lacks layers which it has.
"""

import json
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from caches import caches
from containers import Containers
from layouts import LAYER, MANIFEST, PACKED_LAYER, descriptor, index
from state import BedError

_CODE_LAYERS = 2
"""Layers at the end of both images that change with the code; the others are dear."""
_GZIP = b"\x1f\x8b"


def to_containerd(image: str, containers: Containers) -> None:
    """Bring the image under its name.

    Raises `BedError` with the tool's last words when a step fails.
    """
    known = containers.layers()
    # A pod that finds the name unpacks the image itself, beside us: the name comes last.
    unnamed = f"{image}.incomplete"
    with TemporaryDirectory(dir=_scratch()) as folder:
        layout = Path(folder) / "layout"
        write = _write_new if known.keys() >= set(_layers(image)[:-_CODE_LAYERS]) else _write_all
        manifest, files = write(image, layout, known)
        for name, content in index(descriptor(MANIFEST, manifest), unnamed).items():
            (layout / name).write_bytes(content)
        blob = _blob(layout, descriptor(MANIFEST, manifest)["digest"])
        blob.write_bytes(manifest)
        new = [str(path.relative_to(layout)) for path in (blob, *files)]
        _import(layout, ["oci-layout", "index.json", *new], containers)
    for command in (("tag", "--force", unnamed, image), ("remove", unnamed)):
        done = containers.ctr("images", *command)
        if done.returncode != 0:
            raise BedError(f"{image} can't be named: {done.stderr}")
    containers.forget_old_images()


def _scratch() -> Path:
    """A folder on the same disk as containerd's files, without what a killed transfer left: that has gigabytes."""
    folder = caches() / "bed" / "transfer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _layers(image: str) -> list[str]:
    """Digests of the image's uncompressed layers, the lowest first."""
    content = json.loads(_run(["buildah", "inspect", "--type", "image", image]))
    layers: list[str] = content["OCIv1"]["rootfs"]["diff_ids"]
    return layers


def _write_all(image: str, layout: Path, _: dict[str, Path]) -> tuple[bytes, list[Path]]:
    """Write the whole image; return its manifest and its other files.

    A plain folder is the one target for which buildah does not compress: that would take minutes.
    """
    blobs = layout / "blobs" / "sha256"
    blobs.parent.mkdir(parents=True)
    _run(["buildah", "push", "--quiet", "--disable-compression", "--format", "oci", image, f"dir:{blobs}"])
    manifest, version = blobs / "manifest.json", blobs / "version"
    return manifest.read_bytes(), [path for path in blobs.iterdir() if path not in (manifest, version)]


def _write_new(image: str, layout: Path, known: dict[str, Path]) -> tuple[bytes, list[Path]]:
    """Write what is not `known`; return the image's manifest and the files that were written."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for layer, path in known.items():
        _blob(layout, layer).symlink_to(path)
    _run(["buildah", "push", "--quiet", "--disable-compression", "--format", "oci", image, f"oci:{layout}:{image}"])
    old = _blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    manifest = json.loads(old.read_bytes())
    old.unlink()
    manifest["layers"] = [
        _described(known[layer["digest"]]) if layer["digest"] in known else layer for layer in manifest["layers"]
    ]
    return json.dumps(manifest).encode(), [path for path in blobs.iterdir() if not path.is_symlink()]


def _described(blob: Path) -> dict[str, Any]:
    """What a manifest says of a layer that containerd has, perhaps compressed."""
    with blob.open("rb") as file:
        kind = PACKED_LAYER if file.read(len(_GZIP)) == _GZIP else LAYER
    return {"mediaType": kind, "digest": f"sha256:{blob.name}", "size": blob.stat().st_size}


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _import(layout: Path, files: list[str], containers: Containers) -> None:
    """Stream these files of the layout into containerd."""
    command = containers.command("images", "import", "-")
    with subprocess.Popen(["tar", "--create", *files], cwd=layout, stdout=subprocess.PIPE) as tar:
        done = subprocess.run(command, stdin=tar.stdout, capture_output=True, text=True, check=False)
    if done.returncode != 0 or tar.returncode != 0:
        raise BedError(f"the image can't be imported: {done.stderr}")


def _run(command: list[str]) -> str:
    done = subprocess.run(["nice", *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
