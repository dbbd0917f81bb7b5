"""Kills the trainer hundreds of times, at points drawn from a seed, and checks after each that nothing is lost.

python tests/chaos/chaos_suite.py --kills 200 --seed 1        # make chaos
python tests/chaos/chaos_suite.py --seed 1 --trial 17         # one trial again
python tests/chaos/chaos_suite.py --faults                    # each fault of the store at each moment instead
python tests/chaos/chaos_suite.py --faults --trial 5          # one of them
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path

from fault_cases import all_cases, try_case
from invariants import (
    STOPPED,
    Reference,
    Violation,
    check_attempt,
    check_code,
    check_end,
    committed,
    place_sentinels,
    reference_of,
)
from kill_plans import Kill, plan_kills
from sites import opened
from trials import Site, Trial

Tell = Callable[[str], None]
_KILLED = -9
_UNHEARD = -15
"""SIGTERM in the first moment of a process, before it listens for one: nothing has begun yet, not a word is said."""


@dataclass
class Tally:
    """What was done."""

    trials: int = 0
    kills: int = 0
    stops: int = 0
    resumed: int = 0
    """Attempts that went on from a checkpoint."""

    def __str__(self) -> str:
        """The figures in a sentence."""
        return f"{self.kills} kills and {self.stops} stops in {self.trials} jobs, {self.resumed} resumes"


def undisturbed(site: Site) -> Reference:
    """Run a job that nobody disturbs; before it another one, so that what is slow only once is not counted."""
    place_sentinels(site)
    check_code(Trial(site, "warm-up").run(), {0})
    trial, start = Trial(site, "reference"), time.monotonic()
    ended = trial.run()
    reference = reference_of(trial, site.proxy.writes, time.monotonic() - start)
    check_attempt(trial, [], ended)
    check_end(trial, ended, reference)
    return reference


def try_kills(site: Site, uid: str, kills: list[Kill], reference: Reference, tally: Tally) -> None:
    """One job: each kill, then as many attempts as it needs. Raises `Violation` with the whole story."""
    trial, story = Trial(site, uid), list[str]()
    tally.trials += 1
    try:
        while not _attempt(trial, kills.pop(0) if kills else None, story, tally):
            pass
        check_end(trial, trial.attempts[-1], reference)
    except Violation as violation:
        raise Violation("\n\n".join([str(violation), *story])) from None


def _attempt(trial: Trial, kill: Kill | None, story: list[str], tally: Tally) -> bool:
    """One attempt; returns whether the job is finished. Without a kill it has to be."""
    before = committed(trial)
    ended = kill.carry_out(trial) if kill else trial.run()
    story.append(f"{kill or 'undisturbed'}: {ended}")
    tally.kills += ended.code == _KILLED
    tally.stops += ended.code in STOPPED
    tally.resumed += bool(before)
    check_attempt(trial, before, ended)
    check_code(ended, {0, _KILLED, *STOPPED, *({_UNHEARD} if not ended.log else ())} if kill else {0})
    return ended.code == 0


def run_kills(
    site: Site, kills: int, series: Iterator[tuple[int, int]], reference: Reference, tally: Tally, tell: Tell
) -> int:
    """Go on until there were so many kills; `series` gives seed and number of each trial. Returns how many failed."""
    failed = 0
    while tally.kills < kills:
        seed, number = next(series)
        failed += not try_one(site, seed, number, reference, tally, tell)
    return failed


def try_one(site: Site, seed: int, number: int, reference: Reference, tally: Tally, tell: Tell) -> bool:
    """One trial of the series; tells how it went, and how to do it again where it failed."""
    plan = plan_kills(seed, number, reference.writes, reference.seconds)
    told = "; ".join(map(str, plan))
    try:
        try_kills(site, f"{seed}-{number}", list(plan), reference, tally)
    except Violation as violation:
        tell(f"trial {number}: {told}\nFAILED: {violation}\nagain: chaos_suite.py --seed {seed} --trial {number}")
        return False
    tell(f"trial {number}: {told}: ok ({tally})")
    return True


def run_faults(site: Site, wanted: Container[int], reference: Reference, tell: Tell) -> int:
    """The cases of `fault_cases` with the wanted numbers; returns how many failed."""
    failed = 0
    for number, case in enumerate(all_cases()):
        if number in wanted:
            trial = Trial(site, f"fault-{number}")
            try:
                try_case(trial, case, reference)
            except Violation as violation:
                failed += 1
                story = "\n\n".join(map(str, [f"FAILED: {violation}", *trial.attempts]))
                tell(f"fault {number}: {case}\n{story}\nagain: chaos_suite.py --faults --trial {number}")
            else:
                tell(f"fault {number}: {case}: ok, exit codes {[ended.code for ended in trial.attempts]}")
    return failed


def main() -> int:
    """Run the series, or one trial of it; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="go on until there were so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trial", type=int, help="only the trial, or the fault, of this number")
    parser.add_argument("--first", type=int, default=0, help="begin with the trial of this number")
    parser.add_argument("--faults", action="store_true", help="faults of the store instead of kills")
    chosen = parser.parse_args()
    start = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - start:6.0f} s  {text}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, opened(Path(folder) / "site") as site:
        reference, tally = undisturbed(site), Tally()
        tell(f"undisturbed: {reference.steps} steps, {reference.writes} writes, {reference.seconds:.1f} s")
        if chosen.faults:
            failed = run_faults(
                site, range(chosen.first, 10**9) if chosen.trial is None else {chosen.trial}, reference, tell
            )
        elif chosen.trial is not None:
            failed = int(not try_one(site, chosen.seed, chosen.trial, reference, tally, tell))
        else:
            failed = run_kills(
                site, chosen.kills, zip(repeat(chosen.seed), count(chosen.first)), reference, tally, tell
            )
    tell(f"{tally}; {failed} jobs failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
