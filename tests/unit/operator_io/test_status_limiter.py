from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.status_limiter import StatusLimiter

KEYS = st.sampled_from("abcde")
STEPS = st.lists(st.tuples(st.sampled_from(["take", "give_back", "leave"]), KEYS), max_size=60)


def test_one_has_a_turn_and_the_next_in_line_is_called_when_it_ends() -> None:
    called: list[str] = []
    status_limiter = StatusLimiter(1, called.append)
    assert status_limiter.take("a")
    assert status_limiter.take("a"), "it goes on to have it"
    assert not status_limiter.take("b")
    assert not status_limiter.take("c")
    assert not status_limiter.take("b"), "it keeps its place"
    status_limiter.give_back("a")
    assert called == ["b"]
    assert not status_limiter.take("a")
    assert status_limiter.take("b")
    status_limiter.give_back("b")
    status_limiter.give_back("c")
    assert called == ["b", "c", "a"]


def test_who_waits_keeps_waiting_until_it_leaves() -> None:
    called: list[str] = []
    status_limiter = StatusLimiter(1, called.append)
    status_limiter.take("a")
    status_limiter.take("b")
    status_limiter.give_back("b")
    assert status_limiter.waiting == 1
    status_limiter.leave("b")
    assert status_limiter.waiting == 0
    status_limiter.leave("a")
    assert called == []
    assert status_limiter.take("c")


@given(STEPS, st.integers(1, 3))
def test_never_too_many_and_never_one_unused_while_others_wait(steps: list[tuple[str, str]], at_once: int) -> None:
    having: set[str] = set()
    status_limiter = StatusLimiter(at_once, having.add)
    for step, key in steps:
        if step == "take":
            if status_limiter.take(key):
                having.add(key)
        else:
            having.discard(key)
            getattr(status_limiter, step)(key)
        assert len(having) <= at_once
        assert not status_limiter.waiting or len(having) == at_once
