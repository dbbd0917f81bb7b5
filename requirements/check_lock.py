"""Tells whether requirements/lock.txt is in step with the projects, without asking any index.

Usage: check_lock.py [ROOT]. Every requirement of a project must be locked at a version it allows, for the reason that
the lock gives (`# via ...`), and nothing may be locked for a reason that is gone. What goes into an image must be the
part of the lock that its project needs. Exits 1 and says what differs.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")
_VIA = re.compile(r"^ +#(?: +via)? +\(?(finetune-[a-z]+|pyproject\.toml:[a-z]+)")
_PARENT = re.compile(r"^ +#(?: +via)? +([A-Za-z0-9._-]+)(?: \(.*\))?$")
_OWN = canonicalize_name("finetune-api")
_IMAGES = {"operator.txt": "finetune-operator", "trainer.txt": "finetune-trainer", "build.txt": "hatchling"}
"""What is installed into images, and for whom."""


def required(root: Path) -> dict[str, list[Requirement]]:
    """Direct requirements on other people's packages, by the name that the lock gives their origin."""
    projects = [tomllib.loads(path.read_text("utf-8"))["project"] for path in sorted(root.glob("*/pyproject.toml"))]
    own = {project["name"] for project in projects}
    found = {project["name"]: _parse(project["dependencies"], own) for project in projects}
    groups = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    return found | {f"pyproject.toml:{group}": _parse(lines, own) for group, lines in groups.items()}


def locked(lock: str) -> tuple[dict[NormalizedName, str], set[tuple[str, NormalizedName]]]:
    """Versions by package, and the pairs (origin, package) that the lock names as reasons."""
    versions: dict[NormalizedName, str] = {}
    reasons: set[tuple[str, NormalizedName]] = set()
    package = canonicalize_name("")
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            package = canonicalize_name(pin[1])
            versions[package] = pin[2]
        elif via := _VIA.match(line):
            reasons.add((via[1], package))
    return versions, reasons


def differences(root: Path) -> Iterator[str]:
    """Yield one line for each thing that is out of step."""
    versions, reasons = locked((root / "requirements" / "lock.txt").read_text("utf-8"))
    wanted = required(root)
    for origin, requirements in wanted.items():
        for requirement in requirements:
            name = canonicalize_name(requirement.name)
            version = versions.get(name)
            if version is None or (origin, name) not in reasons:
                yield f"{requirement} of {origin} is not locked"
            elif not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement} of {origin} is locked at {version}"
    names = {(origin, canonicalize_name(requirement.name)) for origin in wanted for requirement in wanted[origin]}
    for origin, name in sorted(reasons - names):
        yield f"{name} is locked for {origin}, which no longer requires it"


def image_differences(folder: Path) -> Iterator[str]:
    """Yield one line for each way in which the requirements of an image differ from the lock in the same folder."""
    lock = (folder / "lock.txt").read_text("utf-8")
    for file, origin in _IMAGES.items():
        wanted = needed(lock, canonicalize_name(origin))
        found = blocks((folder / file).read_text("utf-8"))
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                yield f"{file} differs from what the lock has of {name} for {origin}"


def needed(lock: str, origin: NormalizedName) -> dict[NormalizedName, frozenset[str]]:
    """The part of the lock that `origin` needs, by the reasons that the lock gives."""
    parents: dict[NormalizedName, set[NormalizedName]] = {}
    package = canonicalize_name("")
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            package = canonicalize_name(pin[1])
        elif parent := _PARENT.match(line):
            parents.setdefault(package, set()).add(canonicalize_name(parent[1]))
    chosen, grown = {origin} if origin in parents else {origin, _OWN}, True
    while grown:
        more = {name for name, reasons in parents.items() if reasons & chosen} - chosen
        chosen |= more
        grown = bool(more)
    return {name: block for name, block in blocks(lock).items() if name in chosen}


def blocks(lock: str) -> dict[NormalizedName, frozenset[str]]:
    """What a lock says of each package: version, markers and hashes, without reasons."""
    found: dict[NormalizedName, set[str]] = {}
    package = canonicalize_name("")
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            package = canonicalize_name(pin[1])
        if line.strip() and not line.lstrip().startswith("#"):
            found.setdefault(package, set()).add(line.strip().removesuffix("\\").strip())
    return {name: frozenset(lines) for name, lines in found.items()}


def _parse(lines: list[str], own: set[str]) -> list[Requirement]:
    return [requirement for requirement in map(Requirement, lines) if requirement.name not in own]


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    found = [*differences(root), *image_differences(root / "requirements")]
    if found:
        sys.exit("requirements/ is out of step; run `make lock`:\n" + "\n".join(f"  {line}" for line in found))
