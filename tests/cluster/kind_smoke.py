"""Smoke test of the path that users take: kind, the operator's image, the chart, the commands of the README.

    python tests/cluster/kind_smoke.py [up | down | ARGUMENTS OF PYTEST]

It makes a cluster by the README's own commands, tests it (by its own tests, or by those that the arguments name) and
removes all. Where a Docker engine runs, that one is used, with the node image that kind pulls. Where none does (Linux,
root), an engine with a socket of its own is started, and the node's image is made on the spot: no registry of images is
needed. `up` and `down` do the first and the last part only. No image of the trainer is needed, which has gigabytes.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import docker_engine
import images
import kind
import progress
import turns
from binaries import BinaryMissingError, find, get_all
from node_image import node_image
from readme import README, cluster_commands
from state import Bed, BedError, state_folder

_ROOT = Path(__file__).parents[2]
_TESTS = (
    "tests/e2e/test_bed.py", "tests/e2e/test_readme_on_kind.py",
    "--deselect=tests/e2e/test_bed.py::test_the_trainer_starts_as_the_image_says",
)  # fmt: skip
_TOOLS = ("kind", "kubectl", "helm")
_FOLDER = docker_engine.FOLDER.parent
_OF_MAKE = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS")
"""What make tells to a make below it, the ARGS of its command line too."""


def run(*arguments: str) -> None:
    """Make the cluster, run tests on it (those of the smoke test, or what `arguments` name), and remove all.

    Raises `BedError` when the cluster can't be made or a test fails.
    """
    _refuse_beside_another()
    try:
        _make()
        _command([sys.executable, "-m", "pytest", *(arguments or _TESTS)], {"FINETUNE_REQUIRE_KIND": "1"})
    finally:
        _remove()


def up() -> None:
    """Make the cluster and leave it.

    Raises `BedError` when it can't be made, and when another cluster is up.
    """
    _refuse_beside_another()
    try:
        _make()
    except BaseException:
        _remove()
        raise
    changed = {name: value for name, value in os.environ.items() if value != _BEFORE.get(name)}
    progress.tell("".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(changed.items())))


def down() -> None:
    """Remove the cluster that `up` left."""
    if _FOLDER.exists():
        _remove()


_BEFORE = dict(os.environ)


def _refuse_beside_another() -> None:
    if _FOLDER.exists() and Bed.load(_FOLDER / "state" / "finetune" / "bed"):
        raise BedError("the cluster of an earlier smoke test is up: end it by `make kind-smoke ARGS=down`")
    bed = Bed.load(state_folder())
    if bed is not None:
        raise BedError(
            f"a cluster is up ({bed.kind}): end it by `make cluster-down` first. Both would write this machine's"
            " packet filter, and use the same ports and memory"
        )


def _make() -> None:
    """Make a cluster by the first command of the README, less the image of the trainer."""
    get_all(_TOOLS)
    if not images.docker_runs():
        _start_engine()
    os.environ.update(_tools())
    os.environ["XDG_STATE_HOME"] = str(_FOLDER / "state")
    first = cluster_commands(README.read_text())[0]
    _command([*shlex.split(first), "ARGS=operator"])
    bed = Bed.load(state_folder())
    if bed is None or bed.kind != "kind":
        raise BedError(f"`{first}` made no kind cluster")
    os.environ["KUBECONFIG"] = bed.kubeconfig


def _start_engine() -> None:
    engine = docker_engine.DockerEngine()
    with progress.step("Docker engine"):
        engine.start()
    os.environ.update(engine.environment)
    node_image.build()
    os.environ["FINETUNE_KIND_NODE_IMAGE"] = node_image.NODE_IMAGE
    os.environ["FINETUNE_BASE_IMAGE"] = node_image.BASE_IMAGE


def _tools() -> dict[str, str]:
    """A PATH with the commands of the README: those that are installed, else those that the project builds."""
    folder = _FOLDER / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TOOLS:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(shutil.which(name) or find(name))
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def _remove() -> None:
    """Remove the cluster, and the engine where it is ours, with all that they changed on this machine."""
    engine = docker_engine.DockerEngine()
    if engine.runs():
        os.environ.update(engine.environment)
    with progress.step("kind cluster and engine removed"):
        if images.docker_runs():
            os.environ.update(_tools())
            kind.down(state_folder())
        engine.stop()
        shutil.rmtree(_FOLDER, ignore_errors=True)


def _command(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command from the root of the tree; its output is seen."""
    progress.tell(f"$ {shlex.join(command)}")
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    done = subprocess.run(command, cwd=_ROOT, env=inherited | (environment or {}), check=False)
    if done.returncode != 0:
        raise BedError(f"`{shlex.join(command)}` ended with status {done.returncode}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    try:
        with turns.turn("kind-smoke", "Waiting for another smoke test of this user"):
            if arguments == ["up"]:
                up()
            elif arguments == ["down"]:
                down()
            else:
                run(*arguments)
    except (BedError, BinaryMissingError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
