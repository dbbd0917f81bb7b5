"""The kind node that is made on the spot: which images it has, what they hold, and where that is read."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest
from layouts import image_archive
from node_image import build_context, system_images
from state import BedError

CLUSTER = Path(__file__).parents[1] / "cluster"
GO_FILE = """
const provisioner = "docker.io/kindest/local-path-provisioner:v1"
const helper = "docker.io/kindest/local-path-helper:v2"
var images = []string{provisioner, helper}

const defaultStorageManifest = `
image: ` + provisioner + `
- --helper-image
- ` + helper + `
`
"""
LDD = """\
\tlinux-vdso.so.1 (0x00007ffd5b9e8000)
\tlibxtables.so.12 => /lib/x86_64-linux-gnu/libxtables.so.12 (0x00007f1c2a3b0000)
\tlibmissing.so.1 => not found
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c2a1ce000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1c2a3d4000)
"""


def test_kubeadm_is_of_the_same_kubernetes_as_the_control_plane() -> None:
    """Two go.mod files have it, so that control planes without kind are not built again when kubeadm is."""
    mods = [CLUSTER / "go.mod", CLUSTER / "programs" / "kubeadm" / "go.mod"]
    plain, kubeadm = (re.findall(r"^\s*(k8s\.io/kubernetes v\S+)", mod.read_text(), re.MULTILINE) for mod in mods)
    assert plain == kubeadm == [f"k8s.io/kubernetes {build_context.kubernetes_version()}"]
    replaced = [set(re.findall(r"^\t(k8s\.io/\S+ => \S+ \S+)$", mod.read_text(), re.MULTILINE)) for mod in mods]
    assert replaced[1]
    assert replaced[1] <= replaced[0]


def test_the_storage_of_kind_is_read_from_its_source() -> None:
    manifest = build_context.storage_manifest(GO_FILE)
    assert manifest == (
        "\nimage: docker.io/kindest/local-path-provisioner:v1\n- --helper-image\n"
        "- docker.io/kindest/local-path-helper:v2\n"
    )
    assert build_context.storage_images(manifest) == [
        "docker.io/kindest/local-path-provisioner:v1",
        "docker.io/kindest/local-path-helper:v2",
    ]


def test_a_source_of_kind_that_looks_otherwise_is_an_error() -> None:
    with pytest.raises(BedError, match="no defaultStorageManifest"):
        build_context.storage_manifest("const defaultStorage = `{}`")


def test_the_node_has_the_images_of_the_pods_beside_the_operator() -> None:
    images = build_context.pod_images((CLUSTER / "kind.yaml").read_text())
    assert [system_images.short_name(image) for image in images] == ["versitygw", "prometheus"]
    assert all(re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:v[0-9.]+", image) for image in images)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("registry.k8s.io/coredns/coredns:v1.12.1", "coredns"),
        ("registry.k8s.io/pause:3.10", "pause"),
        ("localhost:5000/etcd:3", "etcd"),
        ("etcd", "etcd"),
    ],
)
def test_an_image_is_made_of_the_program_of_its_short_name(tmp_path: Path, image: str, name: str) -> None:
    assert system_images.short_name(image) == name
    (tmp_path / name).write_bytes(b"a program")
    files = system_images.content(name, tmp_path)
    assert files == {f"usr/local/bin/{name}": b"a program"}
    assert system_images.entrypoint(name, files) == [f"/usr/local/bin/{name}"]


def test_an_image_without_a_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="kindnetd"):
        system_images.content("kindnetd", tmp_path)


def test_libraries_are_those_that_the_loader_found_and_the_loader() -> None:
    assert system_images.libraries(LDD) == [
        "/lib/x86_64-linux-gnu/libxtables.so.12", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
    ]  # fmt: skip
    assert system_images.libraries("\tnot a dynamic executable\n") == []


def test_an_archive_has_the_image_under_its_name_with_programs_that_run() -> None:
    archive = image_archive("localhost/two:1", {"bin/one": b"1", "usr/bin/two": b"22"}, {"Entrypoint": ["/bin/one"]})
    with tarfile.open(fileobj=io.BytesIO(archive)) as layout:
        blobs = {member.name: layout.extractfile(member).read() for member in layout}  # type: ignore[union-attr]
    [entry] = json.loads(blobs["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/two:1"
    manifest = json.loads(blobs[f"blobs/{entry['digest'].replace(':', '/')}"])
    configuration = json.loads(blobs[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    [layer] = manifest["layers"]
    assert configuration["config"] == {"Entrypoint": ["/bin/one"]}
    assert configuration["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(blobs[f"blobs/{layer['digest'].replace(':', '/')}"])) as files:
        assert [(file.name, file.mode, file.size) for file in files] == [
            ("bin/one", 0o755, 1), ("usr/bin/two", 0o755, 2),
        ]  # fmt: skip


def test_the_network_of_the_node_is_the_one_that_kind_gives_to_pods() -> None:
    conflist = json.loads((CLUSTER / "node_image" / "files" / "etc" / "cni" / "net.d" / "10-ptp.conflist").read_text())
    [ptp, portmap] = conflist["plugins"]
    assert ptp["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]
    assert portmap["type"] == "portmap"
