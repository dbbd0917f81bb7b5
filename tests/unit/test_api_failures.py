"""The catalogue of failures: stable codes, exit codes, words."""

import re
from collections.abc import Iterator

import pytest

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import EXIT_CODE, RETRIED, FailureClass, JobFailure, Problem, catalogue

CATALOGUE = catalogue()
_NOT_OF_TRAINERS = (FailureClass.CLUSTER, FailureClass.LIMIT)
"""What no trainer ends with: the operator alone sees it."""


def subclasses(failure: type[JobFailure]) -> Iterator[type[JobFailure]]:
    for below in failure.__subclasses__():
        yield below
        yield from subclasses(below)


def test_codes_are_unique() -> None:
    codes = [failure.code for failure in subclasses(JobFailure)]
    assert sorted(codes) == sorted(set(codes)) == sorted(CATALOGUE)


@pytest.mark.parametrize("failure", CATALOGUE.values(), ids=CATALOGUE)
def test_an_entry_has_a_code_a_class_and_words(failure: type[JobFailure]) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+", failure.code)
    assert failure.code == failure.__name__
    assert "code" in failure.__dict__, "an entry must not borrow the code of another"
    assert isinstance(failure.failure_class, FailureClass)
    assert failure.__doc__
    assert failure.__doc__.endswith(".")
    assert "\n" not in failure.__doc__, "one sentence, for the table"


def test_each_class_has_an_exit_code_of_its_own() -> None:
    assert set(EXIT_CODE) == set(FailureClass)
    of_trainers = {failure: code for failure, code in EXIT_CODE.items() if failure not in _NOT_OF_TRAINERS}
    assert len(set(of_trainers.values())) == len(of_trainers)
    assert {EXIT_CODE[failure] for failure in _NOT_OF_TRAINERS} == {ExitCode.UNAVAILABLE}
    assert ExitCode.DONE not in EXIT_CODE.values()
    assert all(0 < code < 256 for code in EXIT_CODE.values())


def test_each_class_has_a_failure() -> None:
    assert {failure.failure_class for failure in CATALOGUE.values()} == set(FailureClass)


def test_who_is_at_fault_decides_on_retry() -> None:
    assert {FailureClass.TRANSIENT, FailureClass.INTERNAL} == RETRIED
    retried = {code for code, failure in CATALOGUE.items() if failure("x").retried}
    known = {"StorageUnavailable", "InternalError", "InitContainerFailed", "PodLost", "ContainerCrashed", "Stalled"}
    known |= {"TrainerHung"}
    assert retried == known


def test_exit_code_is_that_of_the_class() -> None:
    assert CATALOGUE["SpecInvalid"]("x").exit_code == 64
    assert CATALOGUE["DataEmpty"]("x").exit_code == 65
    assert CATALOGUE["ModelNotFound"]("x").exit_code == 66
    assert CATALOGUE["StorageUnavailable"]("x").exit_code == 75
    assert CATALOGUE["PermissionDenied"]("x").exit_code == 77


def test_failure_tells_all_its_problems() -> None:
    failure = JobFailure(Problem("is 3", "spec.a", "use 2"), Problem("is 4", "spec.b"), "whole", hint="mend it")
    assert str(failure) == "spec.a: is 3\n  use 2\nspec.b: is 4\nwhole\n  mend it"
    assert failure.problems[2] == Problem("whole", "", "mend it")
