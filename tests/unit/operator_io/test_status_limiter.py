from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.status_limiter import Turns

KEYS = st.sampled_from("abcde")
STEPS = st.lists(st.tuples(st.sampled_from(["take", "give_back", "leave"]), KEYS), max_size=60)


def test_one_has_a_turn_and_the_next_in_line_is_called_when_it_ends() -> None:
    called: list[str] = []
    turns = Turns(1, called.append)
    assert turns.take("a")
    assert turns.take("a"), "it goes on to have it"
    assert not turns.take("b")
    assert not turns.take("c")
    assert not turns.take("b"), "it keeps its place"
    turns.give_back("a")
    assert called == ["b"]
    assert not turns.take("a")
    assert turns.take("b")
    turns.give_back("b")
    turns.give_back("c")
    assert called == ["b", "c", "a"]


def test_who_waits_keeps_waiting_until_it_leaves() -> None:
    called: list[str] = []
    turns = Turns(1, called.append)
    turns.take("a")
    turns.take("b")
    turns.give_back("b")
    assert turns.waiting == 1
    turns.leave("b")
    assert turns.waiting == 0
    turns.leave("a")
    assert called == []
    assert turns.take("c")


@given(STEPS, st.integers(1, 3))
def test_never_too_many_and_never_one_unused_while_others_wait(steps: list[tuple[str, str]], at_once: int) -> None:
    having: set[str] = set()
    turns = Turns(at_once, having.add)
    for step, key in steps:
        if step == "take":
            if turns.take(key):
                having.add(key)
        else:
            having.discard(key)
            getattr(turns, step)(key)
        assert len(having) <= at_once
        assert not turns.waiting or len(having) == at_once
