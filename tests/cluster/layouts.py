"""Images as archives of the OCI layout, made without any tool."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from binaries import this_system

_INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
"""Media type of an image's manifest."""
_CONFIGURATION = "application/vnd.oci.image.config.v1+json"
PACKED_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER = PACKED_LAYER.removesuffix("+gzip")
"""Media types of layers."""


def single_program_image(program: Path, name: str) -> bytes:
    """Return the archive of an image that has this (static) program as its only file and runs it."""
    layer = _tar({f"{program.name}": program.read_bytes()}, mode=0o755)
    packed = gzip.compress(layer, mtime=0)
    system, processor = this_system().split("-")
    configuration = {
        "architecture": processor,
        "os": system,
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = [packed, json.dumps(configuration).encode()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(_CONFIGURATION, blobs[1]),
        "layers": [descriptor(PACKED_LAYER, packed)],
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
