"""Every failure of the catalogue is caused, for real, by some test that carries `@pytest.mark.causes("Code")`."""

import ast
from collections.abc import Iterator
from pathlib import Path

from finetune_api.failures import catalogue

TESTS = Path(__file__).parents[1]
NOT_CAUSED: dict[str, str] = {}
"""Codes that no test can cause, each with the reason. Empty is right."""


def causes(tree: ast.AST) -> Iterator[str]:
    """Codes named in `mark.causes(...)`, whichever way the mark is put on a test."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.causes"):
            yield from (str(ast.literal_eval(argument)) for argument in node.args)


def named_in_tests() -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for code in causes(ast.parse(path.read_text("utf-8"))):
            named.setdefault(code, []).append(path.name)
    return named


def test_marks_name_failures_of_the_catalogue() -> None:
    unknown = {code: files for code, files in named_in_tests().items() if code not in catalogue()}
    assert unknown == {}


def test_every_failure_is_caused_by_a_test() -> None:
    missing = set(catalogue()) - set(named_in_tests()) - set(NOT_CAUSED)
    assert missing == set(), f"no test causes {', '.join(sorted(missing))}"


def test_no_exception_is_left_over() -> None:
    assert set(NOT_CAUSED) <= set(catalogue()) - set(named_in_tests())
