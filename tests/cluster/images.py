"""Builds the two images with Docker, or with buildah where there is no Docker, and brings them to the cluster.

    python tests/cluster/images.py [operator] [trainer]

With Docker, `$FINETUNE_BASE_IMAGE` names another base than `python:3.11-slim`, for example one of a mirror. With
buildah the base is a Debian made on the spot: no registry of images is needed. What a cluster's containerd has already
is not copied again, so that a change of code arrives in seconds though the trainer's image has gigabytes.
"""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import progress
import transfer
import turns
from caches import caches
from containers import Containers
from state import OPERATOR_IMAGE, TRAINER_IMAGE, Bed, BedError, state_folder

ROOT = Path(__file__).parents[2]
IMAGES = {"operator": OPERATOR_IMAGE, "trainer": TRAINER_IMAGE}
_DOCKERFILES = {"operator": "operator/Dockerfile", "trainer": "trainer-image/Dockerfile"}
_SUITE = "bookworm"
_BASE = f"localhost/finetune-python:{_SUITE}"
_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_WITHOUT_BUILDKIT = (
    "unknown flag: --secret",
    "BuildKit is enabled but the buildx component is missing",
    "requires BuildKit",
    "only supported on a Docker daemon with BuildKit",
)
"""What Docker says when its builder is the one of before BuildKit, by version."""
AUTHORITIES = Path("/etc/ssl/certs")
"""Where Debian has the certificate authorities that it trusts."""


def build_all(components: list[str]) -> None:
    """Build the images of these components and load them into the cluster that is up, if any.

    Raises `BedError` with the builder's last words when one can't be built.
    """
    for component in components:
        build(component, IMAGES[component])
    bed = Bed.load(state_folder())
    if bed is not None:
        load(bed.kind, [IMAGES[component] for component in components])


def build(component: str, image: str, tree: Path = ROOT) -> None:
    """Build the image of one component from the sources in `tree`.

    Raises `BedError` with the builder's last words when it can't be built.
    """
    with progress.step(f"image {image} built"):
        (_build_with_docker if docker_runs() else _build_with_buildah)(component, image, tree)


def load(kind: str, images: list[str]) -> None:
    """Bring built images to the cluster."""
    for image in images:
        with progress.step(f"image {image} on the node"):
            if kind == "kind":
                _run(["kind", "load", "docker-image", "--name", "finetune", image])
            else:
                transfer.to_containerd(image, Containers(state_folder()))


def built() -> list[str]:
    """Components whose image buildah has."""
    return [name for name, image in IMAGES.items() if _has(image)]


def docker_runs() -> bool:
    """Whether an engine answers, not just whether the command is there."""
    return shutil.which("docker") is not None and _quiet(["docker", "info"])


def _build_with_docker(component: str, image: str, tree: Path) -> None:
    with TemporaryDirectory() as scratch:
        secret = _pip_settings(Path(scratch))
        try:
            _run([
                "docker", "build", *base_argument(os.environ.get("FINETUNE_BASE_IMAGE", "")), *secret,
                "-f", _DOCKERFILES[component], "-t", image, ".",
            ], tree)  # fmt: skip
        except BedError as error:
            raise BedError(f"{error}{builder_remedy(str(error))}") from error


def base_argument(image: str) -> list[str]:
    """Argument that puts another image under ours; none where it is empty, so that the Dockerfile's own stands."""
    return [f"--build-arg=BASE_IMAGE={image}"] if image else []


def builder_remedy(complaint: str) -> str:
    """Return what to do where Docker's builder can't take a secret; empty for any other complaint."""
    if any(words in complaint for words in _WITHOUT_BUILDKIT):
        return (
            "\nThe images need BuildKit: their build gives pip its settings as a secret. Install Docker's buildx plugin"
            " (docker-buildx-plugin, on Debian and Ubuntu docker-buildx); with Docker before 23.0 set DOCKER_BUILDKIT=1"
        )
    return ""


def _build_with_buildah(component: str, image: str, tree: Path) -> None:
    if shutil.which("buildah") is None:
        raise BedError("there is neither a Docker engine nor buildah: start Docker, or apt-get install buildah")
    base = debian_with_python()
    with TemporaryDirectory() as scratch:
        _run([
            "buildah", "bud", "--layers", "--isolation", "chroot", "--network", "host",
            "--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro", "--build-arg", f"BASE_IMAGE={base}",
            *_pip_settings(Path(scratch)), "-f", _DOCKERFILES[component], "-t", image, ".",
        ], tree)  # fmt: skip


def debian_with_python() -> str:
    """Name of an image in buildah's store that can stand for `python:3.11-slim`; it is made where it is not there."""
    if not _has(_BASE):
        _make_base()
    return _BASE


def _make_base() -> None:
    folder = caches() / "bed"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as scratch:
        root = Path(scratch) / "root"
        _run(["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", _SUITE, str(root)])
        for rest in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
            shutil.rmtree(root / rest)
        container = _run(["buildah", "from", "scratch"]).strip()
        _run(["buildah", "add", "--quiet", container, str(root), "/"])
        _run(["buildah", "commit", "--quiet", "--rm", container, _BASE])


def _pip_settings(folder: Path) -> list[str]:
    """Arguments that give this machine's settings of pip to the build as a secret: nothing of it stays in the image."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["global"] = {
        name: value for name in ("index-url", "extra-index-url", "trusted-host", "proxy")
        if (value := _pip_setting(name))
    }  # fmt: skip
    if (AUTHORITIES / "ca-certificates.crt").is_file() and not docker_runs():
        settings["global"]["cert"] = str(AUTHORITIES / "ca-certificates.crt")
    path = folder / "pip.conf"
    with path.open("w") as file:
        settings.write(file)
    return ["--secret", f"id=pip.conf,src={path}"]


def _pip_setting(name: str) -> str:
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", f"global.{name}"], capture_output=True, text=True, check=False
    )
    return os.environ.get(f"PIP_{name.upper().replace('-', '_')}") or asked.stdout.strip()


def _has(image: str) -> bool:
    return shutil.which("buildah") is not None and _quiet(["buildah", "inspect", "--type", "image", image])


def _quiet(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str], tree: Path = ROOT) -> str:
    """Run a step of a build at low priority from the root of a tree; return its output."""
    done = subprocess.run(["nice", *command], cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        with turns.alone():
            build_all(sys.argv[1:] or list(IMAGES))
    except BedError as error:
        sys.exit(f"error: {error}")
