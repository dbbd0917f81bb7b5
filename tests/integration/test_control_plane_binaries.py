"""Where the programs of the control plane come from, in which order, and what is said where there are none."""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import binaries
import pytest
from platforms import this_system


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no assets, no Go, and a release that is not there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "_not_to_be_had", {})
    monkeypatch.setattr(binaries, "ENVTEST", (tmp_path / "envtest-v0").as_uri())
    return binaries.cache_folder()


def program(folder: Path, name: str, text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def release(folder: Path, programs: dict[str, str]) -> str:
    """Write an archive as envtest publishes it, for this machine; return its SHA-512."""
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in programs.items():
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            member.size = len(text)
            archive.addfile(member, BytesIO(text.encode()))
    folder.mkdir()
    (folder / f"envtest-v0-{this_system()}.tar.gz").write_bytes(content.getvalue())
    return hashlib.sha512(content.getvalue()).hexdigest()


def test_the_cache_is_outside_the_tree_and_apart_for_each_state_of_the_modules(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache.is_relative_to(tmp_path / "cache")
    monkeypatch.setattr(binaries, "MODULE", tmp_path)
    (tmp_path / "go.sum").write_text("other versions")
    assert binaries.cache_folder() not in (cache, binaries.MODULE)


def test_assets_win_over_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cached, asset = program(cache, "etcd"), program(tmp_path / "assets", "etcd")
    assert binaries.find("etcd") == cached
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(asset.parent))
    assert binaries.find("etcd") == asset
    kubectl = program(cache, "kubectl")
    assert binaries.find("kubectl") == kubectl, "what the assets lack comes from elsewhere"


def test_a_release_is_unpacked_once_and_whole(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digest = release(tmp_path / "envtest-v0", {"etcd": "one", "kubectl": "two", "README": "three"})
    monkeypatch.setattr(binaries, "ENVTEST_SHA512", {this_system(): digest})
    assert binaries.find("etcd").read_text() == "one"
    assert os.access(cache / "kubectl", os.X_OK)
    assert sorted(path.name for path in cache.iterdir()) == ["etcd", "kubectl"]


def test_a_release_that_was_tampered_with_is_not_used(cache: Path, tmp_path: Path) -> None:
    release(tmp_path / "envtest-v0", {"etcd": "evil"})
    with pytest.raises(binaries.BinaryMissingError, match="SHA-512 differs"):
        binaries.find("etcd")
    assert not (cache / "etcd").exists()


@pytest.mark.usefixtures("cache")
def test_all_that_was_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "nowhere")
    with pytest.raises(binaries.BinaryMissingError) as missing:
        binaries.find("etcd")
    for words in ("no etcd: ", "(nowhere) has no etcd", "can't be downloaded", "Go is not installed"):
        assert words in str(missing.value)


def test_a_failed_build_shows_its_end_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    go = program(tmp_path, "go", "#!/bin/sh\necho 'no required module' >&2; exit 1\n")
    go.chmod(0o755)
    with pytest.raises(binaries.BinaryMissingError, match="go build failed: no required module"):
        binaries.find("kube-scheduler")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("required", "outcome"), [("", "SKIPPED"), ("0", "SKIPPED"), ("1", "ERROR")])
def test_without_a_control_plane_tests_skip_or_fail_with_the_reason(
    tmp_path: Path, required: str, outcome: str
) -> None:
    closed = {"https_proxy": "http://127.0.0.1:9", "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    tests = Path(__file__).with_name("test_crd_on_api_server.py")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            f"{tests}::test_the_crd_is_established_without_complaints",
        ],
        env={**os.environ, **closed, "FINETUNE_REQUIRE_CONTROL_PLANE": required},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode != 0) == (outcome == "ERROR"), done.stdout
    assert f"\n{outcome} " in done.stdout
    assert re.search(r"no control plane: no etcd: .* can't be downloaded .*Go is not installed", done.stdout), (
        done.stdout
    )
