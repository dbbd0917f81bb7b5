"""Build context of the node's image: its Dockerfile, the files of kind's Go module, programs, and names of images."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml
from binaries import MODULE, find
from state import BedError

_HERE = Path(__file__).parent
_PROGRAMS = (
    "coredns", "etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm",
    "kubectl", "kubelet", "local-path-provisioner", "pause", "versitygw",
)  # fmt: skip
_MODULES = (_HERE / "system_images.py", MODULE / "layouts.py", MODULE / "platforms.py")
"""Modules that run while the image is built: they need the standard library only."""


def kubernetes_version() -> str:
    """The Kubernetes that the node runs, for example `v1.34.4`."""
    return str(re.findall(r"k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text())[0])


def make(folder: Path) -> None:
    """Write the context into `folder`, which is emptied first; programs are got where they are missing."""
    shutil.rmtree(folder, ignore_errors=True)
    kind = _module_of_kind()
    shutil.copytree(kind / "images" / "base" / "files", folder / "kind-files", copy_function=shutil.copyfile)
    shutil.copytree(_HERE / "files", folder / "files")
    for made, sources in (("", (_HERE / "Dockerfile", _HERE / "import-images")), ("modules", _MODULES)):
        (folder / made).mkdir(exist_ok=True)
        for source in sources:
            shutil.copy2(source, folder / made)
    (folder / "programs").mkdir()
    for name in _PROGRAMS:
        _link(find(name), folder / "programs" / name)
    storage = storage_manifest((kind / "pkg" / "build" / "nodeimage" / "const_storage.go").read_text())
    (folder / "default-storage.yaml").write_text(storage)
    sandbox = (folder / "kind-files" / "etc" / "containerd" / "config.toml").read_text()
    beside = (MODULE / "kind.yaml").read_text()
    names = [*_kubernetes_images(), *sandbox_images(sandbox), *storage_images(storage), *pod_images(beside)]
    (folder / "images.txt").write_text("".join(f"{name}\n" for name in dict.fromkeys(names)))


def storage_manifest(source: str) -> str:
    """Return the objects of kind's default storage, which its builder has as text in a Go file.

    Raises `BedError` where the Go file does not look as it did.
    """
    constants = dict(re.findall(r'^const (\w+) = "([^"]+)"', source, re.MULTILINE))
    found = re.search(r"^const defaultStorageManifest = `(.*)`", source, re.MULTILINE | re.DOTALL)
    if found is None:
        raise BedError(
            "kind's const_storage.go has no defaultStorageManifest: build_context.py must learn where it went"
        )
    return re.sub(r"` \+ (\w+) \+ `", lambda name: constants[name[1]], found[1])


def storage_images(manifest: str) -> list[str]:
    """Names of images in kind's default storage: of its program and of the pods that this one starts."""
    return re.findall(r"docker\.io/kindest/\S+", manifest)


def sandbox_images(configuration: str) -> list[str]:
    """The image that containerd's configuration names for the pods' own namespaces."""
    return re.findall(r'sandbox_image = "(\S+)"', configuration)


def pod_images(manifests: str) -> list[str]:
    """Full names of the images in Deployments, as containerd keeps them."""
    deployments = [one for one in yaml.safe_load_all(manifests) if one["kind"] == "Deployment"]
    containers = [container for one in deployments for container in one["spec"]["template"]["spec"]["containers"]]
    return [f"docker.io/{container['image']}" for container in containers]


def _kubernetes_images() -> list[str]:
    command = [str(find("kubeadm")), "config", "images", "list", "--kubernetes-version", kubernetes_version()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _module_of_kind() -> Path:
    command = ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind"]
    subprocess.run(["go", "mod", "download", "sigs.k8s.io/kind"], cwd=MODULE / "programs" / "kind", check=True)
    done = subprocess.run(command, cwd=MODULE / "programs" / "kind", capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def _link(source: Path, target: Path) -> None:
    """Take the file without copying it, where both are on one disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
