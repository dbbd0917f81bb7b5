"""Broken data files: each is answered with its code, its line or field and a remedy, never a traceback."""

import tomllib
from pathlib import Path

import pytest

from finetune_api.data import Data
from finetune_api.exit_codes import ExitCode
from finetune_api.failures import JobFailure
from finetune_trainer.data import prepare
from finetune_trainer.storage import Site

FOLDER = Path(__file__).parent.parent / "data" / "tables" / "broken"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))


def test_every_broken_table_is_in_the_list() -> None:
    assert {path.name for path in FOLDER.iterdir()} - {"expected.toml"} == set(EXPECTED)


@pytest.mark.causes("ColumnMissing")
@pytest.mark.causes("DataEmpty")
@pytest.mark.causes("DataUnreadable")
@pytest.mark.causes("LabelsUnsuitable")
@pytest.mark.causes("TooManyBadRows")
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_broken_table_is_explained(name: str) -> None:
    expected = EXPECTED[name]
    with pytest.raises(JobFailure) as raised:
        prepare(Data.model_validate({"train": [{"uri": f"file://./{name}"}]}), site=Site(FOLDER))
    failure = raised.value
    first = failure.problems[0]
    assert (failure.code, failure.exit_code, first.where) == (expected["code"], ExitCode.BAD_DATA, expected["where"])
    for word in expected["words"]:
        assert word in f"{first.message}\n{first.hint}"
    assert any(problem.hint for problem in failure.problems), "a message without a remedy"
    rows = [problem.where for problem in failure.problems[1:] if failure.code == "TooManyBadRows"]
    assert rows == [f"{name}:{line}" for line in expected.get("lines", [])]
