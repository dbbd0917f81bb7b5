"""A node's image made on the spot, and the base of ours, for a Docker engine that can pull none."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import images
import progress
from caches import caches
from node_image import build_context
from state import BedError

NODE_IMAGE = f"localhost/finetune-kind-node:{build_context.kubernetes_version()}"
BASE_IMAGE = "localhost/finetune-base:this-machine"
"""Debian with Python, and with the certificate authorities that this machine trusts: a mirror may need them."""


def build() -> None:
    """Build both; what is built stays with the engine, and building it again takes seconds.

    Raises `BedError` with the builder's last words when one can't be built.
    """
    with progress.step(f"image {BASE_IMAGE} built"):
        _build_base()
    folder = caches() / "kind-smoke" / "node-image"
    with progress.step("programs of a node"):
        build_context.make(folder)
    with progress.step(f"image {NODE_IMAGE} built"):
        arguments = (f"BASE_IMAGE={BASE_IMAGE}", f"KUBERNETES_VERSION={build_context.kubernetes_version()}")
        docker("build", *(f"--build-arg={argument}" for argument in arguments), f"--tag={NODE_IMAGE}", str(folder))


def _build_base() -> None:
    base = images.debian_with_python()
    _take_from_buildah(base)
    with TemporaryDirectory() as folder:
        Path(folder, "authorities.crt").write_bytes((images.AUTHORITIES / "ca-certificates.crt").read_bytes())
        Path(folder, "Dockerfile").write_text(
            f"FROM {base}\nCOPY authorities.crt {images.AUTHORITIES / 'ca-certificates.crt'}\n"
        )
        docker("build", f"--tag={BASE_IMAGE}", folder)


def _take_from_buildah(image: str) -> None:
    """Copy an image from buildah's store to the engine, through a pipe."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0:
        return
    push = ["buildah", "push", "--quiet", image, f"docker-archive:/dev/stdout:{image}"]
    with subprocess.Popen(push, stdout=subprocess.PIPE) as pushed:
        loaded = subprocess.run(["docker", "load"], stdin=pushed.stdout, capture_output=True, text=True, check=False)
    if pushed.returncode != 0 or loaded.returncode != 0:
        raise BedError(f"{image} can't be copied from buildah to Docker: {loaded.stderr}")


def docker(*arguments: str) -> str:
    """Run the client; return its output. Raises `BedError` with its last words when it fails."""
    done = subprocess.run(["nice", "docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"docker {arguments[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
