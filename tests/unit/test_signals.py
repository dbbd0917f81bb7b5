"""Signals that ask to stop, also where Python can't raise."""

import os
import signal
from collections.abc import Iterator

import pytest

from finetune_trainer.signals import check_stop, stop_signals


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


def turn_after_turn(number: int) -> int:
    for turn in range(10):
        check_stop()
        if turn == 3:
            Dying(number)
    return turn


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_destructor_is_not_lost(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), stop_signals():
        turn_after_turn(number)


def test_who_was_asked_once_may_run_again() -> None:
    with pytest.raises(KeyboardInterrupt), stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    check_stop()


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with stop_signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
