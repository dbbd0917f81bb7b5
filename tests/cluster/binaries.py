"""Finds or makes the programs of a cluster: etcd, all of Kubernetes, and what stands around it.

    python tests/cluster/binaries.py [etcd kube-apiserver kubectl]     # get them now, print where they are

Without names: all that tests can need without a node. In this order: `$KUBEBUILDER_ASSETS` (the convention of envtest),
the cache below `$XDG_CACHE_HOME`, the release of envtest, `go build` of the versions in a go.mod. One process at a time
gets programs. Needs the standard library only, and Go for the last.
"""

import hashlib
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import turns
from builds import BuildError, build
from caches import caches, scratch
from platforms import this_system

MODULE = Path(__file__).parent

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    **{
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in (
            "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet", "kube-proxy",
        )
    },
}  # fmt: skip
"""Go packages of the control plane; each is a `tool` in go.mod."""

OTHER_PACKAGES = {
    "coredns": "github.com/coredns/coredns",
    "helm": "helm.sh/helm/v3/cmd/helm",
    "kind": "sigs.k8s.io/kind",
    "kubeadm": "k8s.io/kubernetes/cmd/kubeadm",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "local-path-provisioner": "github.com/rancher/local-path-provisioner",
    "pause": "finetune.dev/cluster/pause",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw",
}
"""Go packages of the rest; each has a go.mod of its own below programs/, so that each is raised alone."""

WITHOUT_NODE = (
    "etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "helm", "versitygw",
)  # fmt: skip
"""What tests need that need no node."""
_SECONDS = {
    "coredns": 130, "etcd": 50, "helm": 70, "kube-apiserver": 200, "kube-controller-manager": 120, "kubectl": 60,
    "kubelet": 90, "kube-proxy": 40, "pause": 5, "kube-scheduler": 10, "kwok": 140, "versitygw": 90,
    "kind": 10, "kubeadm": 20, "local-path-provisioner": 75,
}  # fmt: skip
"""How long a build takes on two cores with an empty cache of Go; what they share is counted for the first of them."""

ENVTEST = "https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-v1.34.1"
ENVTEST_SHA512 = {
    "darwin-amd64": "d9e0464dc1708c36ab41147b5e364c8b8e201eafc14c299dcbe58ebeaa82c651b8e834647167a951ded8c6d08c616aad"
    "bae1673a54743f9c8fa15a278c78c0c0",
    "darwin-arm64": "43d7c10b74100d20044df7c73be03e26f8243a9cb7c1d3035e581ee7bb0c7ffcaf759b9e182186b5bb2f47d160883541"
    "4ca443181a02d9ecb6c9cf04b43e3809",
    "linux-amd64": "c5e7c237ae18a8c65d0df1214b864ecd19aa9ff4f1383dbd477c202546d778c0f74efe15750ec38f57d8de26ba17cd62"
    "f404446cdd3c975399a5d4589de35cdd",
    "linux-arm64": "bf13d2456183e66d084e28e1c9eed6a408fb77a06d8d1fd0461a7d9bc0c90b63d29ea67870b28f80d1f992acb026007d"
    "6f43987753c859c81d6a78bc1ca2c903",
}
"""From envtest-releases.yaml of the same repository."""
_ENVTEST_PROGRAMS = frozenset({"etcd", "kube-apiserver", "kubectl"})
_DOWNLOAD_SECONDS = 10
"""Patience for the first byte; where the network is closed, the build should not wait long."""


class BinaryMissingError(Exception):
    """A program is nowhere to be had; the message lists what was tried."""


def cache_folder(name: str = "etcd") -> Path:
    """Where the program `name` is kept: apart for each state of go.sum, or of the source where it is ours."""
    module = _module(name)
    sources = sorted(module.glob("*.go")) or [module / "go.sum"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return caches() / ("control-plane" if module == MODULE else name) / digest[:16]


def _module(name: str) -> Path:
    """Folder of the go.mod that has the program."""
    return MODULE / "programs" / name if name in OTHER_PACKAGES else MODULE


def there(name: str) -> Path | None:
    """Return the path of the program `name` where it is on this machine already."""
    folders = [*map(Path, filter(None, [os.environ.get("KUBEBUILDER_ASSETS")])), cache_folder(name)]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def find(name: str) -> Path:
    """Return the path of the program `name`, getting it first where needed (a build takes minutes, once).

    Raises `BinaryMissingError` with all reasons when it can't be had.
    """
    if program := there(name):
        return program
    if name in _not_to_be_had:
        raise BinaryMissingError(_not_to_be_had[name])
    with turns.turn("programs", f"Waiting for another process that gets programs; then {name}", _tell):
        return there(name) or _get(name)


def get_all(names: Iterable[str]) -> None:
    """Get the programs that are not there, and tell how long that takes.

    One that can't be had is not tried again by this process: `find` raises at once.
    """
    if not (missing := [name for name in names if there(name) is None]):
        return
    minutes = sum(_SECONDS.get(name, 60) for name in missing) / 60
    _tell(
        f"Getting programs of the cluster, once a machine: {', '.join(missing)}. "
        f"Where they must be built, about {minutes:.0f} min on two free cores"
    )
    started = time.monotonic()
    for name in missing:
        try:
            find(name)
        except BinaryMissingError as error:
            _not_to_be_had[name] = str(error)
    had = [name for name in missing if name not in _not_to_be_had]
    _tell(f"Got {len(had)} of {len(missing)} in {(time.monotonic() - started) / 60:.1f} min")


_not_to_be_had: dict[str, str] = {}
"""Why `get_all` could not get a program."""


def _get(name: str) -> Path:
    """Download or build the program into the cache; the caller has the turn."""
    program = cache_folder(name) / name
    program.parent.mkdir(parents=True, exist_ok=True)
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    tried = [] if assets is None else [f"$KUBEBUILDER_ASSETS ({assets}) has no {name}"]
    for get in (_download, _build):
        try:
            get(name, program.parent)
        except (BinaryMissingError, BuildError) as error:
            tried.append(str(error))
        if program.is_file():
            return program
    raise BinaryMissingError(f"no {name}: " + "; ".join(tried))


def _build(name: str, folder: Path) -> None:
    started = time.monotonic()
    if shutil.which("go"):
        _tell(f"building {name}, about {_SECONDS.get(name, 60)} s on two free cores")
    build((PACKAGES | OTHER_PACKAGES)[name], _module(name), folder / name)
    _tell(f"built {name} in {time.monotonic() - started:.0f} s")


def _download(name: str, folder: Path) -> None:
    """Take all programs of the envtest release that are not there yet."""
    system = this_system()
    if name not in _ENVTEST_PROGRAMS or system not in ENVTEST_SHA512:
        raise BinaryMissingError(f"envtest has no {name} for {system}")
    url = f"{ENVTEST}/{ENVTEST.rpartition('/')[2]}-{system}.tar.gz"
    try:
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_SECONDS) as response:  # noqa: S310 -- a constant
            archive = response.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise BinaryMissingError(f"{url} can't be downloaded ({error})") from error
    if hashlib.sha512(archive).hexdigest() != ENVTEST_SHA512[system]:
        raise BinaryMissingError(f"{url} is not the archive that it was (SHA-512 differs)")
    _unpack(archive, folder)


def _unpack(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        for member in files:
            name = Path(member.name).name
            content = files.extractfile(member) if name in _ENVTEST_PROGRAMS and member.isfile() else None
            if content is not None and not (folder / name).exists():
                _put(content.read(), folder / name)


def _put(content: bytes, path: Path) -> None:
    with scratch(path.parent) as folder:
        part = folder / path.name
        part.write_bytes(content)
        part.chmod(0o755)
        part.rename(path)


def _tell(text: str) -> None:
    """Say it beside the answer, which is on standard output."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    wanted = sys.argv[1:] or WITHOUT_NODE
    get_all(wanted)
    try:
        for name in wanted:
            print(find(name))  # noqa: T201 -- a command's answer
    except BinaryMissingError as missing:
        sys.exit(f"error: {missing}")
