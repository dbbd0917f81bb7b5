"""A trainer's answer is asked for over real HTTP, and trusted in nothing."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from local_server import answering
from queue_observer import Observer
from raw_objects import pod

from finetune_api.live import LIVE_BYTES, Live
from finetune_operator.plan import LiveRecord, UnansweredPolls
from finetune_operator.polling import BadAnswerError, Poller, read_live
from finetune_operator.projection import pod_record
from finetune_operator.work_queue import WorkQueue

LIVE = Live(uid="tune-1", attempt=1)


@asynccontextmanager
async def serving(
    text: bytes, status: int = 200, headers: dict[str, str] | None = None, delay: float = 0
) -> AsyncIterator[str]:
    """Serve one answer; yields its address."""

    async def respond(_request: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.Response(body=text, status=status, headers=headers)

    async with answering(respond) as url:
        yield f"{url}/progress"


def encoded(live: Live) -> bytes:
    return live.model_dump_json(by_alias=True).encode()


async def ask(url: str, timeout: float = 3) -> Live:  # noqa: ASYNC109 -- the session's
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session:
        return await read_live(session, url, "tune-1")


async def test_an_answer_is_read() -> None:
    async with serving(encoded(LIVE)) as url:
        assert await ask(url) == LIVE


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (b"not json", 200, "no Live"),
        (b"[]", 200, "no Live"),
        (b"\xff\xfe", 200, "no Live"),
        (encoded(LIVE.model_copy(update={"uid": "other"})), 200, "job other"),
        (b" " * (LIVE_BYTES + 1), 200, "more than"),
        (encoded(LIVE), 500, "HTTP 500"),
    ],
)
async def test_a_wrong_answer_is_refused(text: bytes, status: int, said: str) -> None:
    async with serving(text, status) as url:
        with pytest.raises(BadAnswerError, match=said):
            await ask(url)


async def test_a_redirect_is_not_followed() -> None:
    async with serving(encoded(LIVE)) as elsewhere, serving(b"", 302, {"Location": elsewhere}) as url:
        with pytest.raises(BadAnswerError, match="HTTP 302"):
            await ask(url)


async def test_a_slow_answer_is_given_up() -> None:
    async with serving(encoded(LIVE), delay=5) as url:
        with pytest.raises(TimeoutError):
            await ask(url, timeout=0.1)


async def test_a_pod_that_is_gone_counts_and_says_nothing() -> None:
    on_progress: list[tuple[str, LiveRecord]] = []
    counted: Counter[str] = Counter()
    twice = asyncio.Event()

    def count(how: str) -> None:
        counted[how] += 1
        if counted["unreachable"] == 2:
            twice.set()

    poller = Poller(WorkQueue(Observer()), 0.02, lambda key, record: on_progress.append((key, record)), count)
    running = asyncio.create_task(poller.run())
    poller.follow("tune-1", replace(pod_record(pod()), ip="127.0.0.9"))
    await asyncio.wait_for(twice.wait(), 10)
    poller.forget("tune-1")
    await asyncio.sleep(0.1)
    before = counted["unreachable"]
    await asyncio.sleep(0.1)
    assert counted["unreachable"] == before, "a forgotten pod is asked no more"
    assert on_progress == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_the_form_of_the_answer_is_that_of_the_trainer() -> None:
    assert json.loads(encoded(LIVE))["format"] == "finetune.dev/live/v1"


@pytest.mark.parametrize("ip", ["", "metadata.internal/", "10.0.0.1:80/x?", "fe80::1%eth0/../"])
async def test_only_an_address_is_asked(ip: str) -> None:
    counted: Counter[str] = Counter()
    queue = WorkQueue(Observer())
    poller = Poller(queue, 60, lambda _key, _record: None, lambda how: counted.update([how]))
    async with aiohttp.ClientSession() as session:
        assert (await poller._ask(session, "tune-1", replace(pod_record(pod()), ip=ip)))[0] is None
    assert counted == {"bad": 1}


def test_who_does_not_answer_is_asked_less_often_and_so_is_a_large_fleet() -> None:
    poller = Poller(WorkQueue(Observer()), 5, lambda _key, _record: None, lambda _how: None)
    assert [poller.pause(failures) for failures in (0, 1, 2, 3, 4, 5, 9)] == [5, 5, 10, 20, 40, 60, 60]
    poller._pods.update(dict.fromkeys(map(str, range(2000))))  # type: ignore[arg-type]
    assert [poller.pause(failures) for failures in (0, 1, 2)] == [10, 10, 20]
    poller._pods.update(dict.fromkeys(map(str, range(100_000))))  # type: ignore[arg-type]
    assert [poller.pause(failures) for failures in (0, 5)] == [40, 60]


async def test_what_does_not_answer_is_told_with_the_reason() -> None:
    told: asyncio.Queue[tuple[str, UnansweredPolls]] = asyncio.Queue()
    queue = WorkQueue(Observer())
    poller = Poller(
        queue,
        0.01,
        lambda _key, _record: None,
        lambda _how: None,
        on_unanswered=lambda key, it: told.put_nowait((key, it)),
    )
    poller.follow("tune-1", replace(pod_record(pod()), ip=""))
    running = asyncio.create_task(poller.run())
    (key, first), (_, second) = await told.get(), await told.get()
    running.cancel()
    assert (key, first.pod_uid) == ("tune-1", "pod-1")
    assert (first.questions, second.questions) == (1, 2)
    assert first.since == second.since
