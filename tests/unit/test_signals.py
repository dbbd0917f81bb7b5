"""Signals that ask to stop, also where Python can't raise."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from finetune_trainer.signals import StopToken, checkpoint_signal, stop_signals


@pytest.fixture(autouse=True)
def _sigint_as_on_a_terminal() -> Iterator[None]:
    """A shell starts background processes with SIGINT ignored, and what is ignored stays so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Dying:
    """Gets a signal in its destructor, where an exception is lost."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)


def turn_after_turn(number: int, stop: StopToken) -> int:
    for turn in range(10):
        stop.check()
        if turn == 3:
            Dying(number)
    return turn


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_destructor_is_not_lost(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), stop_signals() as stop:
        turn_after_turn(number, stop)


def test_who_was_asked_once_may_run_again() -> None:
    with pytest.raises(KeyboardInterrupt), stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    with stop_signals() as stop:
        assert not stop.requested
        stop.check()


def test_a_request_stops_its_own_run_only() -> None:
    one, other = StopToken(), StopToken()
    with pytest.raises(KeyboardInterrupt):
        one.request()
    assert (one.requested, other.requested) == (True, False)
    other.check()


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with stop_signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def stopped_once() -> None:
    with stop_signals() as stop, stop.finishing_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        assert not stop.forced
        stop.check()


def stopped_twice() -> None:
    with stop_signals() as stop, stop.finishing_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.forced


def unnoticed(done: list[str]) -> None:
    with stop_signals() as stop:
        with stop.finishing_steps():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the step")
        done.append("more")


def test_the_first_signal_waits_for_the_end_of_a_step_and_the_second_does_not() -> None:
    for run in (stopped_once, stopped_twice):
        with pytest.raises(KeyboardInterrupt):
            run()


def test_a_stop_that_nobody_looked_for_is_not_lost_after_the_steps() -> None:
    done = list[str]()
    with pytest.raises(KeyboardInterrupt):
        unnoticed(done)
    assert done == ["the step"]


def test_each_sigusr1_asks_for_a_checkpoint() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with checkpoint_signal() as checkpoints_asked:
        first = checkpoints_asked()
        os.kill(os.getpid(), signal.SIGUSR1)
        second = checkpoints_asked()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert len({first, second, checkpoints_asked()}) == 3
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_stop_may_take_what_whoever_asks_for_it_leaves() -> None:
    with suppress(KeyboardInterrupt), stop_signals() as stop, stop.finishing_steps():
        stop.limit(300)
        assert stop.seconds_to_save is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert 250 < (stop.seconds_to_save or 0) <= 285
        assert not stop.out_of_time()
    with stop_signals() as following:
        assert following.seconds_to_save is None


def test_half_of_a_short_time_is_for_saving_and_then_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with suppress(KeyboardInterrupt), stop_signals() as stop, stop.finishing_steps():
        stop.limit(10)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.seconds_to_save, stop.out_of_time()) == (5, False)
        now[0] += 60
        assert (stop.seconds_to_save, stop.out_of_time()) == (0, True)


def test_without_a_limit_a_stop_may_take_any_time() -> None:
    with suppress(KeyboardInterrupt), stop_signals() as stop, stop.finishing_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.seconds_to_save, stop.out_of_time()) == (None, False)
