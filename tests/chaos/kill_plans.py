"""When a trainer is killed: as values, and drawn from a seed."""

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from storage_faults import Moment, Trap
from trials import Ended, Trial

_MOST_KILLS = 4


@dataclass(frozen=True)
class AtWrite:
    """SIGKILL at a moment of the write of that number, counted from the attempt's first."""

    number: int
    when: Moment

    def carry_out(self, trial: Trial) -> Ended:
        """Run an attempt, and kill it."""
        return trial.run(trap=lambda kill: Trap(self.number, self.when, kill))

    def __str__(self) -> str:
        return f"SIGKILL {self.when} write {self.number}"


@dataclass(frozen=True)
class AtTime:
    """SIGKILL that many seconds after the start."""

    seconds: float

    def carry_out(self, trial: Trial) -> Ended:
        """Run an attempt, and kill it."""

        def disturb(pid: int) -> None:
            time.sleep(self.seconds)
            _send(pid, signal.SIGKILL)

        return trial.run(disturb=disturb)

    def __str__(self) -> str:
        return f"SIGKILL after {self.seconds:.2f} s"


@dataclass(frozen=True)
class Stop:
    """SIGTERM that many seconds after the start, and SIGKILL after `grace` seconds more."""

    seconds: float
    grace: float

    def carry_out(self, trial: Trial) -> Ended:
        """Run an attempt, stop it, and kill it if it takes too long."""

        def disturb(pid: int) -> None:
            time.sleep(self.seconds)
            _send(pid, signal.SIGTERM)
            deadline = time.monotonic() + self.grace
            while time.monotonic() < deadline and _lives(pid):
                time.sleep(0.01)
            _send(pid, signal.SIGKILL)

        return trial.run(disturb=disturb)

    def __str__(self) -> str:
        return f"SIGTERM after {self.seconds:.2f} s, SIGKILL {self.grace:.2f} s later"


Kill = AtWrite | AtTime | Stop


def plan_kills(seed: int, number: int, writes: int, seconds: float) -> list[Kill]:
    """The kills of the trial of that number (from 0), for a run of so many writes and so many seconds.

    The first trials go through all writes, one kill each, so that the store is left in every state there is; whether
    before, during or after the write depends on the seed. Later ones are drawn.
    """
    moments = list(Moment)
    if number < writes:
        return [AtWrite(number + 1, moments[(number + seed) % len(moments)])]
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 -- a seed is the point
    return [_draw(chance, writes, seconds) for _ in range(chance.randint(1, _MOST_KILLS))]


def _draw(chance: random.Random, writes: int, seconds: float) -> Kill:
    match chance.choice(("time", "write", "stop")):
        case "time":
            return AtTime(chance.uniform(0, seconds))
        case "write":
            return AtWrite(chance.randint(1, writes), chance.choice(list(Moment)))
        case _:
            return Stop(chance.uniform(0, seconds), chance.choice((0, 0.1, 0.5, 60, 60)))


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it came to its end before
        os.kill(pid, number)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
