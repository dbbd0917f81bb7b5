"""Faults of the store, each at each moment that matters to a run, and what must come of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from fork_server import Limits
from invariants import Reference, check_attempt, check_code, check_end, check_that, committed
from storage_faults import Fault, Kind, Moment, Trap
from trials import Ended, Trial

_TRANSIENT = 75
_CANNOT_WRITE = 73
_KILLED = -9
_PLACES = {
    "claim": (r"/claims/", "PUT"),
    "checkpoint file": (r"/checkpoints/.*/(?!MANIFEST)[^/]+$", "PUT POST"),
    "checkpoint manifest": (r"/checkpoints/.*/MANIFEST\.json$", "PUT"),
    "removal": (r"^/results/?$|/checkpoints/", "DELETE POST"),
    "listing": (r"^/results/?$", "GET"),
    "resume read": (r"/checkpoints/", "GET"),
    "result": (r"/model/", "PUT POST"),
    "final manifest": (r"/tickets/[^/]*/MANIFEST\.json$", "PUT"),
}
"""What a run does with the store: path and verbs of the requests."""
_UPLOADS = (Kind.REFUSED, Kind.SLOW_DOWN, Kind.ERROR, Kind.LATENCY, Kind.CUT_UPLOAD, Kind.LOST_ANSWER, Kind.BLACK_HOLE)
_DOWNLOADS = (
    *(Kind.REFUSED, Kind.SLOW_DOWN, Kind.ERROR, Kind.LATENCY),
    *(Kind.CUT_DOWNLOAD, Kind.TRUNCATED, Kind.LOST_ANSWER, Kind.BLACK_HOLE),
)
_SECONDS = {Kind.REFUSED: 1.5, Kind.LATENCY: 1.0}
_PASSING_TIMES = {Kind.REFUSED: 1, Kind.BLACK_HOLE: 1}


@dataclass(frozen=True)
class Case:
    """One kind of fault at one place."""

    kind: Kind
    place: str
    lasts: bool
    """Whether the trouble stays until the attempt has ended."""

    def fault(self) -> Fault:
        """The fault, fresh."""
        path, verbs = _PLACES[self.place]
        times = 0 if self.lasts else _PASSING_TIMES.get(self.kind, 2)
        seconds = 0 if self.lasts else _SECONDS.get(self.kind, 0)
        return Fault(self.kind, path, verbs, times, seconds=seconds)

    def __str__(self) -> str:
        return f"{self.kind} at the {self.place}{', lasting' * self.lasts}"


def all_cases() -> Iterator[Case]:
    """Each kind at each place where it can happen; black holes, which take minutes, at two of them."""
    for place, (_, verbs) in _PLACES.items():
        for kind in _DOWNLOADS if verbs == "GET" else _UPLOADS:
            if kind is not Kind.BLACK_HOLE or place in {"checkpoint file", "resume read"}:
                yield Case(kind, place, lasts=False)
            if kind not in {Kind.LATENCY, Kind.BLACK_HOLE}:
                yield Case(kind, place, lasts=True)


def try_case(trial: Trial, case: Case, reference: Reference) -> list[Ended]:
    """Run a job with the fault in an attempt that resumes; raises `Violation`, else returns how attempts ended.

    What passes must not be noticed. What stays ends the attempt as transient; the next one goes on. It may be noticed
    less than that where nothing depends on the request, or where the store can be asked what became of it.
    """
    leave_checkpoint(trial)
    before, fault = committed(trial), case.fault()
    ended = trial.run(fault, limits=Limits(hurried=case.lasts))
    check_that(fault.hit > 0, f"{case}: no request was hit")
    check_attempt(trial, before, ended)
    if not case.lasts:
        check_end(trial, ended, reference)
        return trial.attempts
    unneeded = case.kind is Kind.LOST_ANSWER or case.place == "removal"
    check_code(ended, {0, _TRANSIENT} if unneeded else {_TRANSIENT})
    if ended.code:
        check_that(ended.told is not None, "it says nothing at its end")
        _finish(trial, reference)
    return trial.attempts


def try_full_disk(trial: Trial, reference: Reference, largest_file: int = 20_000) -> Ended:
    """Run a job whose disk is full once it has a checkpoint; raises `Violation`."""
    leave_checkpoint(trial)
    before = committed(trial)
    ended = trial.run(limits=Limits(largest_file=largest_file))
    check_code(ended, {_CANNOT_WRITE})
    now = check_attempt(trial, before, ended)
    check_that(set(before) <= set(now), f"checkpoints went with the disk: {before} became {now}")
    _finish(trial, reference)
    return ended


def leave_checkpoint(trial: Trial) -> None:
    """Run an attempt, and kill it when it has committed its second checkpoint."""
    manifests, _ = _PLACES["checkpoint manifest"]
    ended = trial.run(trap=lambda kill: Trap(2, Moment.AFTER, kill, manifests))
    check_code(ended, {_KILLED})
    check_that(bool(check_attempt(trial, [], ended)), "it was killed too early: it left no checkpoint")


def _finish(trial: Trial, reference: Reference) -> None:
    before = committed(trial)
    ended = trial.run()
    check_attempt(trial, before, ended)
    check_end(trial, ended, reference)
