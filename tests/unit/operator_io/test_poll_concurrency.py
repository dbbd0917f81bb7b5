"""Questions under way: those to trainers that hang hold up only their own namespace."""

import pytest

from finetune_operator.poll_concurrency import PollConcurrency


def poll_concurrency() -> PollConcurrency:
    return PollConcurrency(32, lambda key: not key.startswith("gone"))


def entered(some: PollConcurrency, namespace: str, count: int, *, proven: bool) -> list[bool]:
    return [some.enter(f"{namespace}-{number}", namespace, proven=proven) for number in range(count)]


def test_a_namespace_whose_trainers_do_not_answer_has_few_questions_under_way() -> None:
    some = poll_concurrency()
    assert sum(entered(some, "hung", 300, proven=False)) == 4
    assert all(entered(some, "fine", 16, proven=True))
    assert all(entered(some, "other", 12, proven=True))


def test_many_such_namespaces_leave_half_of_the_places() -> None:
    some = poll_concurrency()
    assert sum(sum(entered(some, f"hung-{number}", 20, proven=False)) for number in range(20)) == 16
    assert all(entered(some, "fine", 16, proven=True))


@pytest.mark.parametrize("proven", [True, False])
def test_who_is_parked_follows_when_another_one_ends_the_namespaces_in_turn(proven: bool) -> None:
    some = poll_concurrency()
    begun = sum(entered(some, "a", 20, proven=proven))
    assert some.leave("a", proven=proven) == [f"a-{begun}"]
    assert some.enter(f"a-{begun}", "a", proven=proven)
    assert not some.enter("again", "a", proven=proven)


def test_what_is_not_wanted_any_more_is_passed_over() -> None:
    some = poll_concurrency()
    entered(some, "a", 4, proven=False)
    for key in ("gone-1", "gone-2", "wanted"):
        assert not some.enter(key, "a", proven=False)
    assert some.leave("a", proven=False) == ["wanted"]


def test_one_of_another_namespace_follows_too_since_the_places_are_shared() -> None:
    some = poll_concurrency()
    for number in range(4):
        entered(some, f"hung-{number}", 4, proven=False)
    assert not some.enter("new-1", "new", proven=False)
    assert some.leave("hung-0", proven=False) == ["new-1"]
