"""Which FineTuneJob waits for which: found by name, whatever comes first, and told when the other one changes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from queue_observer import Observer
from raw_objects import deleted, finetune_job

from finetune_operator.event_handlers import EventHandlers
from finetune_operator.settings import Profile, Settings, TrainerImage
from finetune_operator.store import Kind, Store
from finetune_operator.work_queue import WorkQueue

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SETTINGS = Settings(trainer=TrainerImage(name="trainer:1"), profiles={"default": Profile()})


def named(name: str, uid: str, parent: str = "", version: int = 1, **more: Any) -> dict[str, Any]:
    body = finetune_job(uid, version, name=name, **more)
    uri = f"finetunejob://{parent}" if parent else "hf://owner/model"
    return {**body, "spec": {**body["spec"], "model": {"uri": uri}}}


def merging(name: str, uid: str, *parents: str, version: int = 1, **more: Any) -> dict[str, Any]:
    body = named(name, uid, version=version, **more)
    sources = [{"uri": f"finetunejob://{parent}"} for parent in parents]
    return {**body, "spec": {**body["spec"], "method": {"type": "Merge", "merge": {"sources": sources}}}}


class Known:
    """A store with its intake and queue."""

    def __init__(self) -> None:
        self.store = Store(SETTINGS)
        self.queue = WorkQueue(Observer())
        self.event_handlers = EventHandlers(self.store, self.queue)

    def see(self, *bodies: dict[str, Any]) -> None:
        for body in bodies:
            self.event_handlers.seen(Kind.FINETUNE_JOB, body)

    def parents(self, uid: str) -> list[str]:
        snapshot = self.store.snapshot(uid, NOW)
        assert snapshot is not None
        return [finetune_job.uid for finetune_job in snapshot.parents]

    def dependents(self, uid: str) -> int:
        snapshot = self.store.snapshot(uid, NOW)
        assert snapshot is not None
        return snapshot.dependents

    def cycle(self, uid: str) -> list[str]:
        snapshot = self.store.snapshot(uid, NOW)
        assert snapshot is not None
        return list(snapshot.cycle)

    async def line(self) -> set[str]:
        """Everything that is in line, which is empty then."""
        found = set()
        while self.queue.depth:
            async with self.queue.next() as key:
                found.add(key)
        return found


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_parent_is_found_by_name_whichever_comes_first(known: Known, order: tuple[int, int]) -> None:
    bodies = [named("base", "b"), named("movies", "m", "base")]
    known.see(*(bodies[number] for number in order))
    assert known.parents("m") == ["b"]
    assert known.parents("b") == []


async def test_those_that_wait_are_looked_at_when_the_parent_changes(known: Known) -> None:
    known.see(named("movies", "m", "base"), named("other", "o", "elsewhere"))
    assert await known.line() == {"m", "o"}
    known.see(named("base", "b"))
    assert await known.line() == {"b", "m"}
    known.see(named("base", "b", version=2, status={"phase": "Succeeded"}))
    assert await known.line() == {"b", "m"}
    known.event_handlers.gone(Kind.FINETUNE_JOB, deleted("b"))
    assert await known.line() == {"b", "m"}
    assert known.parents("m") == []


async def test_our_own_write_to_the_parent_counts_as_well(known: Known) -> None:
    known.see(named("base", "b"), named("movies", "m", "base"))
    await known.line()
    known.event_handlers.put(Kind.FINETUNE_JOB, named("base", "b", version=2, status={"phase": "Succeeded"}))
    assert await known.line() == {"m"}
    known.see(named("base", "b", version=2, status={"phase": "Succeeded"}))
    assert await known.line() == set(), "the watch only tells what we know"


async def test_a_job_that_has_its_parent_waits_no_more(known: Known) -> None:
    pinned_results = {"parents": [{"name": "base", "uid": "b", "output": "s3://x/base/b", "digest": ""}]}
    known.see(named("base", "b"), named("movies", "m", "base"), named("movies", "m", "base", 2, status=pinned_results))
    assert known.parents("m") == []
    await known.line()
    known.see(named("base", "b", version=3, status={"phase": "Failed"}))
    assert await known.line() == {"b"}


async def test_names_do_not_cross_namespaces(known: Known) -> None:
    foreign = named("base", "f")
    foreign["metadata"]["namespace"] = "other"
    known.see(foreign, named("movies", "m", "base"))
    assert known.parents("m") == []


async def test_the_next_job_of_a_name_takes_it_though_the_old_one_goes_late(known: Known) -> None:
    known.see(named("base", "old"), named("movies", "m", "base"), named("base", "new"))
    known.event_handlers.gone(Kind.FINETUNE_JOB, deleted("old"))
    assert known.parents("m") == ["new"]


async def test_a_job_waits_for_all_that_it_names_and_no_more_for_those_it_has(known: Known) -> None:
    known.see(named("a", "1"), named("b", "2"), named("d", "4"), merging("m", "m", "a", "b", "c", "b"))
    assert known.parents("m") == ["1", "2"]
    await known.line()
    for name, uid, touched in (("a", "1", {"1", "m"}), ("c", "3", {"3", "m"}), ("d", "4", {"4"})):
        known.see(named(name, uid, version=2, status={"phase": "Training"}))
        assert await known.line() == touched
    assert known.parents("m") == ["1", "2", "3"]
    pinned_results = {"parents": [{"name": "b", "uid": "2", "output": "s3://x/b/2", "digest": ""}]}
    known.see(merging("m", "m", "a", "b", "c", "b", version=2, status=pinned_results))
    assert known.parents("m") == ["1", "3"]
    await known.line()
    known.see(named("b", "2", version=3, status={"phase": "Training"}))
    assert await known.line() == {"2"}, "its result is taken"
    known.see(
        merging("m", "m", "a", "b", "c", "b", version=3, status={**pinned_results, "completionTime": "2026-11-21"})
    )
    assert known.parents("m") == []


async def test_a_circle_is_found_by_those_that_are_in_it(known: Known) -> None:
    known.see(named("a", "1", "b"), named("b", "2", "c"), named("c", "3", "a"), named("d", "4", "a"))
    assert known.cycle("1") == ["b", "c", "a"]
    assert known.cycle("3") == ["a", "b", "c"]
    assert known.cycle("4") == [], "it waits for a circle, but is in none"
    known.event_handlers.gone(Kind.FINETUNE_JOB, deleted("2"))
    assert known.cycle("1") == []


async def test_a_circle_is_found_behind_any_of_several_jobs(known: Known) -> None:
    known.see(merging("m", "m", "a", "b"), merging("b", "2", "a", "c"), named("a", "1"), named("c", "3", "m"))
    assert known.cycle("m") == ["b", "c", "m"]
    assert known.cycle("1") == []


@pytest.mark.parametrize("model", [None, [], {"uri": 3}, {"uri": "finetunejob://A/b"}, "finetunejob://base"])
async def test_odd_specs_wait_for_nothing(known: Known, model: Any) -> None:
    body = named("movies", "m")
    body["spec"]["model"] = model
    known.see(named("base", "b"), body)
    assert known.parents("m") == []


async def test_a_job_knows_how_many_have_not_taken_its_result(known: Known) -> None:
    """Neither those that have it, nor those that ended or go without it."""
    known.see(named("base", "b"), named("base-2", "x"), named("one", "1", "base"), named("two", "2", "base"))
    assert known.dependents("b") == 2
    pinned_results = {"parents": [{"name": "base", "uid": "b", "output": "s3://x/b", "digest": ""}]}
    known.see(named("one", "1", "base", version=2, status=pinned_results))
    assert known.dependents("b") == 1
    going = named("two", "2", "base", version=2)
    meta = {**going["metadata"], "deletionTimestamp": "2026-11-21T12:00:00Z"}
    known.see({**going, "metadata": meta})
    assert known.dependents("b") == 0
    assert known.dependents("x") == 0
