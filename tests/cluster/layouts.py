"""Images as archives of the OCI layout, made without any tool."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from platforms import this_system

_INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
"""Media type of an image's manifest."""
_CONFIGURATION = "application/vnd.oci.image.config.v1+json"
PACKED_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER = PACKED_LAYER.removesuffix("+gzip")
"""Media types of layers."""


def single_program_image(program: Path, name: str) -> bytes:
    """Return the archive of an image that has this (static) program as its only file and runs it."""
    settings = {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"}
    return image_archive(name, {program.name: program.read_bytes()}, settings)


def image_archive(name: str, programs: dict[str, bytes], settings: dict[str, Any]) -> bytes:
    """Return the archive of an image of one layer, for this processor.

    Args:
        name: Name with tag under which a container runtime finds it once it is imported.
        programs: Content of its files by their paths, without a leading slash; each may be executed by all.
        settings: `config` of the image, as in the image specification of OCI: `Entrypoint`, `Env`, `User`.
    """
    layer = _tar(programs, mode=0o755)
    system, processor = this_system().split("-")
    configuration = {
        "architecture": processor,
        "os": system,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = [layer, json.dumps(configuration).encode()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(_CONFIGURATION, blobs[1]),
        "layers": [descriptor(LAYER, layer)],
    }
    blobs.append(json.dumps(manifest).encode())
    files = {f"blobs/{_digest(blob).replace(':', '/')}": blob for blob in blobs}
    return _tar(index(descriptor(MANIFEST, blobs[-1]), name) | files)


def index(manifest: dict[str, Any], name: str) -> dict[str, bytes]:
    """Return the files at the top of a layout that has one image: `name`, by its manifest's descriptor."""
    named = {**manifest, "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}
    content = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(content).encode()}


def descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    """Return what a manifest or an index says of a blob."""
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
