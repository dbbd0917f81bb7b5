"""Finds or makes the programs of a cluster: etcd, all of Kubernetes, and what stands around it.

    python tests/cluster/binaries.py etcd kube-apiserver kubectl     # get them now, print where they are

In this order: `$KUBEBUILDER_ASSETS` (the convention of envtest), the cache below `$XDG_CACHE_HOME`, the release of
envtest, `go build` of the versions in a go.mod. Needs the standard library only, and Go for the last.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

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
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "pause": "finetune.dev/cluster/pause",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw",
}
"""Go packages of the rest; each has a go.mod of its own below programs/, so that each is raised alone."""

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


def caches() -> Path:
    """Where the project keeps what is dear to make: outside the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune"


def cache_folder(name: str = "etcd") -> Path:
    """Where the program `name` is kept: apart for each state of go.sum, or of the source where it is ours."""
    module = _module(name)
    sources = sorted(module.glob("*.go")) or [module / "go.sum"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    return caches() / ("control-plane" if module == MODULE else name) / digest[:16]


def _module(name: str) -> Path:
    """Folder of the go.mod that has the program."""
    return MODULE / "programs" / name if name in OTHER_PACKAGES else MODULE


def this_system() -> str:
    """System and processor as Go names them, for example `linux-amd64`."""
    processor = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{processor}"


def find(name: str) -> Path:
    """Return the path of the program `name`, getting it first where needed (a build takes minutes, once).

    Raises `BinaryMissingError` with all reasons when it can't be had.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).is_file():
        return Path(assets) / name
    program = cache_folder(name) / name
    tried = [] if assets is None else [f"$KUBEBUILDER_ASSETS ({assets}) has no {name}"]
    for get in (_download, _build):
        if program.is_file():
            break
        program.parent.mkdir(parents=True, exist_ok=True)
        try:
            get(name, program.parent)
        except BinaryMissingError as error:
            tried.append(str(error))
    if not program.is_file():
        raise BinaryMissingError(f"no {name}: " + "; ".join(tried))
    return program


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
    with TemporaryDirectory(dir=path.parent) as scratch:
        part = Path(scratch) / path.name
        part.write_bytes(content)
        part.chmod(0o755)
        part.rename(path)


def _build(name: str, folder: Path) -> None:
    """Build the version of go.mod, beside the tests rather than before them: at the lowest priority."""
    go = shutil.which("go")
    if go is None:
        raise BinaryMissingError("Go is not installed, so it can't be built; install Go or set KUBEBUILDER_ASSETS")
    _tell(f"building {name}; this takes minutes, once a machine")
    with TemporaryDirectory(dir=folder) as scratch:
        part = Path(scratch) / name
        command = [
            go,
            "build",
            "-mod=readonly",
            "-trimpath",
            "-ldflags",
            _linker_flags(name),
            "-o",
            str(part),
            (PACKAGES | OTHER_PACKAGES)[name],
        ]
        environment = {**os.environ, "CGO_ENABLED": "0"}
        nice = ["nice", "-n", "19"] if shutil.which("nice") else []
        built = subprocess.run(
            [*nice, *command], cwd=_module(name), env=environment, capture_output=True, text=True, check=False
        )
        if built.returncode != 0:
            raise BinaryMissingError(f"go build failed: {built.stderr.strip()[-1000:]}")
        part.rename(folder / name)


def _linker_flags(name: str) -> str:
    """Without debug information, and with the version that Kubernetes' own release build stamps in."""
    if name == "helm":
        return f"-s -w {_helm_stamps()}"
    if name in OTHER_PACKAGES:
        return "-s -w"
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (MODULE / "go.mod").read_text())
    if found is None:
        raise BinaryMissingError(f"{MODULE / 'go.mod'} requires no k8s.io/kubernetes")
    stamps = zip(("gitVersion", "gitMajor", "gitMinor"), found.groups(), strict=True)
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps)])


def _helm_stamps() -> str:
    """The Kubernetes version that Helm renders for, as its own release build stamps it in; else it is 1.20."""
    found = re.search(r"k8s\.io/client-go v0\.(\d+)\.", (_module("helm") / "go.mod").read_text())
    if found is None:
        raise BinaryMissingError(f"{_module('helm') / 'go.mod'} requires no k8s.io/client-go")
    packages = ("chartutil", "lint/rules")
    version = {"k8sVersionMajor": "1", "k8sVersionMinor": found[1]}
    return " ".join(
        f"-X helm.sh/helm/v3/pkg/{package}.{name}={value}" for package in packages for name, value in version.items()
    )


def _tell(text: str) -> None:
    """Say it on the terminal even while pytest captures."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"{text}\n")
        sys.__stderr__.flush()


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["etcd", "kube-apiserver", "kubectl"]:
        print(find(wanted))  # noqa: T201 -- a command's answer
