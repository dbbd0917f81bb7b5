import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "requirements" / "check_lock.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in [*ROOT.glob("pyproject.toml"), *ROOT.glob("*/pyproject.toml"), *ROOT.glob("requirements/*.txt")]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


def check(tree: Path) -> str:
    return subprocess.run([sys.executable, CHECK, tree], capture_output=True, text=True, check=False).stderr


def test_the_tree_is_in_step(tree: Path) -> None:
    assert check(tree) == ""


@pytest.mark.parametrize(
    ("file", "start", "package"),
    [
        ("operator.txt", "kopf==", "kopf"),
        ("trainer.txt", "torch==", "torch"),
        ("build.txt", "hatchling==", "hatchling"),
    ],
)
def test_another_version_in_an_image_is_noticed(tree: Path, file: str, start: str, package: str) -> None:
    path = tree / "requirements" / file
    assert f"\n{start}" in f"\n{path.read_text()}"
    path.write_text(path.read_text().replace(start, f"{start}0."))
    assert f"{file} differs from what the lock has of {package}" in check(tree)


def test_a_package_too_many_in_an_image_is_noticed(tree: Path) -> None:
    operator, trainer = (tree / "requirements" / name for name in ("operator.txt", "trainer.txt"))
    operator.write_text(trainer.read_text())
    told = check(tree)
    assert "operator.txt differs from what the lock has of torch" in told
    assert "operator.txt differs from what the lock has of kopf" in told


def test_a_hash_that_is_gone_is_noticed(tree: Path) -> None:
    path = tree / "requirements" / "trainer.txt"
    first, rest = path.read_text().split("--hash=sha256:", 1)
    path.write_text(f"{first}--hash=sha256:0{rest[1:]}" if rest[0] != "0" else f"{first}--hash=sha256:1{rest[1:]}")
    assert "trainer.txt differs from what the lock has of accelerate" in check(tree)
