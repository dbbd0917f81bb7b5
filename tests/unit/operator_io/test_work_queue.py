import asyncio
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_observer import Observer

from finetune_operator.work_queue import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, Priority, WorkQueue


async def test_a_key_is_in_line_once() -> None:
    queue = WorkQueue(Observer())
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert queue.depth == 2
    assert [await take(queue) for _ in range(2)] == ["a", "b"]
    assert queue.depth == 0


async def test_new_keys_go_first_then_those_that_others_wait_for() -> None:
    queue = WorkQueue(Observer())
    for key, rank in (("old", Priority.REST), ("turn", Priority.TURN), ("new", Priority.NEW)):
        queue.add(key, rank)
    assert [await take(queue) for _ in range(3)] == ["new", "turn", "old"]


async def test_a_stream_of_new_keys_does_not_starve_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has waited for longer than the ranks are apart goes first."""
    now = 100.0
    monkeypatch.setattr("finetune_operator.work_queue.monotonic", lambda: now)
    queue = WorkQueue(Observer())
    queue.add("suspension")
    queue.add("turn", Priority.TURN)
    order = []
    for number in range(40):
        now += 1
        queue.add(f"new-{number}", Priority.NEW)
        order.append(await take(queue))
    assert 5 < order.index("turn") < order.index("suspension") < 25


async def test_a_better_rank_counts_and_a_worse_does_not() -> None:
    queue = WorkQueue(Observer())
    queue.add("first")
    queue.add("second")
    queue.add("second", Priority.TURN)
    queue.add("second")
    assert queue.depth == 2
    assert [await take(queue), await take(queue)] == ["second", "first"]
    queue.add("third")
    assert await take(queue) == "third"
    assert queue.depth == 0


async def test_a_key_with_two_places_in_line_is_never_in_work_twice() -> None:
    queue = WorkQueue(Observer())
    queue.add("a")
    queue.add("a", Priority.NEW)
    async with queue.next() as key:
        queue.add(key)
        other = asyncio.create_task(take(queue))
        await asyncio.sleep(0.01)
        assert not other.done()
    assert await asyncio.wait_for(other, 2) == "a"
    assert queue.depth == 0


async def test_a_key_added_in_work_comes_again_and_not_before() -> None:
    queue = WorkQueue(Observer())
    queue.add("a")
    async with queue.next() as key:
        queue.add(key)
        queue.add(key)
        other = asyncio.create_task(take(queue))
        await asyncio.sleep(0.01)
        assert not other.done()
    assert await other == "a"
    assert queue.depth == 0


async def test_a_failing_worker_leaves_the_key_free() -> None:
    queue = WorkQueue(Observer())
    queue.add("a")
    with pytest.raises(LookupError):
        async with queue.next():
            raise LookupError
    queue.add("a")
    assert await take(queue) == "a"


async def test_the_earliest_of_several_times_counts() -> None:
    queue = WorkQueue(Observer())
    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)
    assert await asyncio.wait_for(take(queue), 2) == "a"
    await asyncio.sleep(0)
    assert queue.depth == 0


async def test_a_time_in_the_past_is_now() -> None:
    queue = WorkQueue(Observer())
    queue.add_after("a", -5)
    assert await asyncio.wait_for(take(queue), 1) == "a"


async def test_adding_a_key_overtakes_its_timer() -> None:
    queue = WorkQueue(Observer())
    queue.add_after("a", 0.02)
    queue.add("a")
    assert await take(queue) == "a"
    await asyncio.sleep(0.05)
    assert queue.depth == 0


async def test_a_dropped_key_does_not_come_back() -> None:
    queue = WorkQueue(Observer())
    queue.add_after("a", 0.01)
    queue.drop("a")
    await asyncio.sleep(0.03)
    assert queue.depth == 0


async def test_retries_come_later_each_time_and_anew_after_success() -> None:
    observer = Observer()
    queue = WorkQueue(observer)
    delays = [queue.retry("a") for _ in range(30)]
    for number, delay in enumerate(delays):
        longest = min(FIRST_RETRY_SECONDS * 2**number, LONGEST_RETRY_SECONDS)
        assert longest / 2 <= delay <= longest
    queue.forget("a")
    assert queue.retry("a") <= FIRST_RETRY_SECONDS
    assert observer.seen["retried"] == 31
    queue.drop("a")


async def test_a_server_may_ask_for_more_patience() -> None:
    queue = WorkQueue(Observer())
    assert queue.retry("a", at_least=7) >= 7
    queue.drop("a")


async def test_the_slowest_worker_is_known() -> None:
    queue = WorkQueue(Observer())
    assert queue.longest_work() == 0
    queue.add("a")
    async with queue.next():
        await asyncio.sleep(0.02)
        assert queue.longest_work() >= 0.02
    assert queue.longest_work() == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 4), st.integers(0, 2**32))
def test_every_key_is_worked_on_after_its_last_add_and_never_twice_at_a_time(
    adds: list[str], workers: int, seed: int
) -> None:
    asyncio.run(play(adds, workers, Random(seed)))  # noqa: S311 -- a played schedule


async def play(adds: list[str], workers: int, random: Random) -> None:
    queue, at_work, started_after = WorkQueue(Observer()), set[str](), Counter[str]()
    added: Counter[str] = Counter()

    async def work() -> None:
        while True:
            async with queue.next() as key:
                assert key not in at_work
                at_work.add(key)
                started_after[key] = added[key]
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)
                at_work.discard(key)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    for key in adds:
        added[key] += 1
        queue.add(key)
        for _ in range(random.randrange(3)):
            await asyncio.sleep(0)
    for _ in range(20 * len(adds) + 20):
        await asyncio.sleep(0)
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    assert started_after == added


async def take(queue: WorkQueue) -> str:
    async with queue.next() as key:
        return key
