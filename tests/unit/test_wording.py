"""What users read (documents, descriptions of the CRD, messages) has none of the words in `retired_words.yaml`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RETIRED = [
    (re.compile(entry["word"], re.IGNORECASE), entry["use"])
    for entry in yaml.safe_load((ROOT / "tests" / "data" / "retired_words.yaml").read_text())
]
# Decision records and the changelog are of their date.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(page for page in (ROOT / "docs").glob("*/*.md") if page.parent.name != "decisions"),
    *sorted((ROOT / "charts").rglob("*.yaml")),
    *sorted((ROOT / "examples").rglob("*.yaml")),
    *sorted((ROOT / "crds").glob("*.yaml")),
]
PACKAGES = ["crds/finetune_api", "trainer-image/finetune_trainer", "operator/finetune_operator", "charts"]


def retired(text: str) -> list[str]:
    """Return each retired word in `text` with the term to use in its place."""
    return [f"{match.group()!r}: use {use}" for word, use in RETIRED for match in word.finditer(text)]


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of the string literals of a module that are values: no docstrings, no descriptions."""
    tree = ast.parse(source)
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in texts
            and " " in node.value
        ):
            yield node.lineno, node.value


@pytest.mark.parametrize("text", ["measured on the untouched model", "the run goes on", "Rows a step", "GPUs a pod"])
def test_retired_words_are_found(text: str) -> None:
    assert retired(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documents_have_no_retired_word(page: Path) -> None:
    found = [
        f"{number}: {hit}" for number, line in enumerate(page.read_text().splitlines(), 1) for hit in retired(line)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_have_no_retired_word(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {hit}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in messages(path.read_text())
        for hit in retired(text)
    ]
    assert found == []
