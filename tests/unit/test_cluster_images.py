import io
import json
import re
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from layouts import single_program_image

ROOT = Path(__file__).parents[2]
DOCKERFILES = {
    "operator": ROOT / "operator" / "Dockerfile",
    "trainer": ROOT / "trainer-image" / "Dockerfile",
}


def test_an_image_of_one_program_holds_together(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"#!/bin/true\n")
    with tarfile.open(fileobj=io.BytesIO(single_program_image(program, "localhost/pause:1"))) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/sha256/")}
    assert all(sha256(content).hexdigest() == name.rpartition("/")[2] for name, content in blobs.items())
    [entry] = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/pause:1"
    manifest = json.loads(blobs[f"blobs/{entry['digest'].replace(':', '/')}"])
    parts = [manifest["config"], *manifest["layers"]]
    assert [len(blobs[f"blobs/{part['digest'].replace(':', '/')}"]) for part in parts] == [p["size"] for p in parts]
    layer = blobs[f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as content:
        assert [(member.name, member.mode) for member in content] == [("pause", 0o755)]


@pytest.mark.parametrize("dockerfile", DOCKERFILES.values(), ids=DOCKERFILES)
def test_an_image_runs_without_root_and_keeps_no_settings_of_a_mirror(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["65532:65532"]
    assert re.findall(r"^ARG (\w+)", text, re.MULTILINE) == ["BASE_IMAGE"], "arguments stay in an image's history"
    for step in re.findall(r"^RUN (?:.|\\\n)*?pip install(?:.|\\\n)*?$", text, re.MULTILINE):
        assert "--no-index" in step or ("--require-hashes" in step and "--mount=type=secret,id=pip.conf" in step)


@pytest.mark.parametrize("dockerfile", DOCKERFILES.values(), ids=DOCKERFILES)
def test_what_an_image_copies_is_in_its_context(dockerfile: Path) -> None:
    chosen = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", dockerfile.read_text(), re.MULTILINE)
    assert copied
    for source in copied:
        assert any(name == source or name.startswith(f"{source}/") for name in chosen), source
    assert [name for name in chosen if not (ROOT / name).exists()] == []
