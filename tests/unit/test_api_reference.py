"""Reference pages: written from the API, checked in, up to date."""

from pathlib import Path

import pytest

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import catalogue
from finetune_api.metrics import CATALOGUE
from finetune_api.reference.__main__ import PAGES, main
from finetune_api.tasks import MethodType, Task

CHECKED_IN = Path(__file__).parents[2] / "docs" / "reference"


def test_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(CHECKED_IN)]) == 0, capsys.readouterr().err


def test_pages_name_everything() -> None:
    failures, methods, metrics = (page() for page in PAGES.values())
    assert all(f"| `{code}` |" in failures for code in catalogue())
    assert all(f"| {code.value} | `{code.name}` |" in failures for code in ExitCode)
    assert all(f"`{name}`" in methods for name in (*Task, *MethodType))
    assert all(f"`{name}`" in metrics for task in CATALOGUE.values() for name in task)


def test_check_fails_on_a_page_that_was_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(tmp_path)]) == 1
    assert main([str(tmp_path / "new")]) == 0
    assert main(["--check", str(tmp_path / "new")]) == 0
    page = tmp_path / "new" / "failures.md"
    page.write_text(page.read_text("utf-8") + "edited\n", "utf-8")
    capsys.readouterr()
    assert main(["--check", str(tmp_path / "new")]) == 1
    assert "failures.md is out of date" in capsys.readouterr().err
    assert main([str(tmp_path / "new")]) == 0
    assert "edited" not in page.read_text("utf-8")
