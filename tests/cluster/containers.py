"""containerd with its own root, state and socket: images are kept from one cluster to the next, containers are not."""

import json
import subprocess
import time
from pathlib import Path

import mounts
from binaries import find
from caches import caches
from processes import Processes
from state import BedError

PAUSE_IMAGE = "localhost/finetune-pause:1"
_NAME = "containerd"
_START_SECONDS = 30
_CONTENT = Path("io.containerd.content.v1.content") / "blobs" / "sha256"
_CONFIGURATION = """\
version = 2
root = "{root}"
state = "{state}/run"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Lowering the score needs CAP_SYS_RESOURCE, which root in a virtual machine or container may lack.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


class Containers:
    """containerd of the cluster whose state is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = caches() / "bed" / "containerd"
        self.socket = folder / "containerd.sock"

    def start(self, processes: Processes, networks: Path) -> None:
        """Start it without any container of an earlier cluster.

        Raises `BedError` with the end of its log when it does not serve.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "containerd.toml"
        configuration.write_text(
            _CONFIGURATION.format(
                root=self.root, state=self.folder, socket=self.socket, pause=PAUSE_IMAGE, networks=networks
            )
        )
        self._serve(processes, configuration)
        if self.remove_containers():
            processes.stop(_NAME)  # what it remembers of them goes, too
            self._serve(processes, configuration)

    def _serve(self, processes: Processes, configuration: Path) -> None:
        processes.start(_NAME, [_NAME, "--config", configuration])
        deadline = time.monotonic() + _START_SECONDS
        while self.ctr("version").returncode != 0:
            if not processes.alive(_NAME) or time.monotonic() > deadline:
                raise BedError(f"containerd did not start:\n{processes.log_tail(_NAME)}")
            time.sleep(0.1)

    def command(self, *arguments: str) -> list[str]:
        """The command line of containerd's own client in the namespace of Kubernetes."""
        return ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments]

    def ctr(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """Run containerd's own client in the namespace of Kubernetes."""
        done = subprocess.run(self.command(*arguments), input=stdin, capture_output=True, check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def images(self) -> set[str]:
        """Names of the images that pods can run."""
        return set(self.ctr("images", "list", "--quiet").stdout.split())

    def layers(self) -> dict[str, Path]:
        """Files of the layers that are there, by the digest of the uncompressed layer."""
        found: dict[str, Path] = {}
        for digest in set(self._manifests().values()):
            manifest = json.loads(self._blob(digest).read_bytes())
            if "layers" in manifest:
                configuration = json.loads(self._blob(manifest["config"]["digest"]).read_bytes())
                files = [self._blob(layer["digest"]) for layer in manifest["layers"]]
                found |= dict(zip(configuration["rootfs"]["diff_ids"], files, strict=True))
        return {layer: file for layer, file in found.items() if file.is_file()}

    def forget_old_images(self) -> None:
        """Remove images that lost their names to newer ones; what runs from them goes on."""
        manifests = self._manifests()
        named = {digest for name, digest in manifests.items() if not name.startswith("sha256:")}
        if old := [name for name, digest in manifests.items() if digest not in named]:
            self.ctr("images", "remove", *old)

    def _manifests(self) -> dict[str, str]:
        """Digests of manifests by the images' names; the runtime also keeps each image under its own digest."""
        rows = [line.split() for line in self.ctr("images", "list").stdout.splitlines()[1:]]
        return {row[0]: row[2] for row in rows}

    def _blob(self, digest: str) -> Path:
        return self.root / _CONTENT / digest.removeprefix("sha256:")

    def remove_containers(self) -> int:
        """Remove all containers with their processes; return how many there were."""
        for task in self.ctr("tasks", "list", "--quiet").stdout.split():
            self.ctr("tasks", "delete", "--force", task)
        found = self.ctr("containers", "list", "--quiet").stdout.split()
        if found:
            self.ctr("containers", "delete", *found)
        return len(found)

    def clean(self) -> None:
        """Remove what containers leave when nobody is there any more to ask: processes, mounts."""
        mounts.kill_programs("containerd-shim-runc-v2", str(self.socket))
        mounts.unmount_below(self.folder)

    def load_pause(self) -> None:
        """Import the image that every pod's namespaces need."""
        if PAUSE_IMAGE not in self.images():
            from layouts import single_program_image

            archive = single_program_image(find("pause"), PAUSE_IMAGE)
            done = self.ctr("images", "import", "-", stdin=archive)
            if done.returncode != 0:
                raise BedError(f"the pause image can't be imported: {done.stderr}")
