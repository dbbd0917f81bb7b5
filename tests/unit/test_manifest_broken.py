"""Broken manifests: each is answered with its code, its line, its field and a remedy, never a traceback."""

import tomllib
from pathlib import Path

import pytest

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import JobFailure
from finetune_trainer.manifest import load_job

FOLDER = Path(__file__).parent.parent / "data" / "broken_manifests"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))


def test_every_broken_manifest_is_in_the_table() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(EXPECTED)
    assert {case["code"] for case in EXPECTED.values()} == {"ManifestUnreadable", "SpecInvalid", "NotBuiltYet"}


@pytest.mark.causes("ManifestUnreadable")
@pytest.mark.causes("SpecInvalid")
@pytest.mark.causes("NotBuiltYet")
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_broken_manifest_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    expected = EXPECTED[name]
    with pytest.raises(JobFailure) as raised:
        load_job(name)
    failure = raised.value
    assert failure.code == expected["code"]
    assert failure.exit_code == ExitCode.BAD_SPEC
    assert expected["where"] in [problem.where for problem in failure.problems], str(failure)
    problem = next(problem for problem in failure.problems if problem.where == expected["where"])
    for word in expected["words"]:
        assert word in f"{problem.message}\n{problem.hint}", str(failure)
    assert problem.hint, "a message without a remedy"
    assert len(failure.problems) == 1, "one thing is wrong, one problem is told"
