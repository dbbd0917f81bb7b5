"""Images of the pods that a node starts with, as OCI archives; runs while the node's image is built, in its Debian.

    python3 system_images.py NAMES PROGRAMS ARCHIVES

NAMES is a file with the image names, one a line; PROGRAMS a folder of static programs, named as the images are;
ARCHIVES the folder to write. An image has one program, or files of Debian with the libraries that they load.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from layouts import image_archive

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = "usr/local/bin"
_IPTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
"""Names under which kube-proxy calls the one program of all."""
_MULTI = "/usr/sbin/xtables-nft-multi"
_EXTENSIONS = "/usr/lib/*/xtables/*.so"
_DEBIAN = {
    "kube-proxy": ("/usr/sbin/nft", "/usr/sbin/conntrack", "/bin/sh", _MULTI, _EXTENSIONS),
    "local-path-helper": ("/bin/sh", "/bin/mkdir", "/bin/rm"),
    "prometheus": ("/usr/bin/prometheus",),
}
"""Files of Debian in the images that need some, by the image's short name; `*` as in file names."""


def short_name(image: str) -> str:
    """For example `coredns` of `registry.k8s.io/coredns/coredns:v1.12.1`."""
    return image.rpartition("/")[2].partition(":")[0]


def content(name: str, programs: Path) -> dict[str, bytes]:
    """Files of the image with this short name, by path.

    Raises `FileNotFoundError` where neither a program nor a list of Debian's files has the name.
    """
    files = {path.lstrip("/"): Path(path).read_bytes() for path in with_libraries(_expanded(_DEBIAN.get(name, ())))}
    if name == "kube-proxy":
        files |= {f"usr/sbin/{alias}": files[_MULTI.lstrip("/")] for alias in _IPTABLES}
    if name not in _DEBIAN or (programs / name).is_file():
        files[f"{_PROGRAMS}/{name}"] = (programs / name).read_bytes()
    return files


def entrypoint(name: str, files: Iterable[str]) -> list[str]:
    """What the image runs: the program of its name, or nothing where it has none."""
    return [f"/{path}" for path in files if path.rpartition("/")[2] == name]


def libraries(told: str) -> list[str]:
    """Return the paths in what `ldd` tells, the loader's too."""
    return re.findall(r"(?:^\s*|=> )(/\S+) \(0x", told, re.MULTILINE)


def with_libraries(files: Iterable[str]) -> list[str]:
    """Return the files and the shared libraries that they load, directly or not."""
    found = list(files)
    for file in tuple(found):
        told = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout  # none where static
        found += [library for library in libraries(told) if library not in found]
    return found


def _expanded(patterns: Iterable[str]) -> list[str]:
    paths = [sorted(map(str, Path("/").glob(pattern.lstrip("/")))) for pattern in patterns]
    if empty := [pattern for pattern, found in zip(patterns, paths, strict=True) if not found]:
        raise FileNotFoundError(f"Debian has no {', '.join(empty)}: install its package in the Dockerfile")
    return [path for found in paths for path in found]


def main(names: Path, programs: Path, archives: Path) -> None:
    """Write an archive for each name."""
    archives.mkdir(parents=True)
    for number, image in enumerate(names.read_text().split()):
        name = short_name(image)
        files = content(name, programs)
        settings = {"Env": [_PATH], "Entrypoint": entrypoint(name, files)}
        (archives / f"{number:02}-{name}.tar").write_bytes(image_archive(image, files, settings))
        sys.stdout.write(f"{image}: {len(files)} files{os.linesep}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
