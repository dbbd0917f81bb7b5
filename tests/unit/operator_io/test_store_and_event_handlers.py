"""What the operator remembers: newer wins, the dead stay dead, and nothing crosses namespaces."""

import asyncio
from datetime import UTC, datetime

import pytest
from queue_observer import Observer
from raw_objects import deleted, finetune_job, job, meta, pod

from finetune_operator.event_handlers import TOGETHER_SECONDS, EventHandlers
from finetune_operator.plan import Snapshot
from finetune_operator.settings import Profile, Settings, TrainerImage
from finetune_operator.store import Kind, Store
from finetune_operator.work_queue import WorkQueue

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SETTINGS = Settings(trainer=TrainerImage(name="trainer:1"), profiles={"default": Profile()})


class Known:
    """A store with its intake and queue."""

    def __init__(self) -> None:
        self.store = Store(SETTINGS)
        self.queue = WorkQueue(Observer())
        self.event_handlers = EventHandlers(self.store, self.queue)

    def snapshot(self) -> Snapshot:
        """What is known of the one FineTuneJob of these tests."""
        snapshot = self.store.snapshot("tune-1", NOW)
        assert snapshot is not None
        return snapshot

    async def next(self) -> str:
        async with self.queue.next() as key:
            return key


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.mark.parametrize("order", [(Kind.FINETUNE_JOB, Kind.JOB, Kind.POD), (Kind.POD, Kind.JOB, Kind.FINETUNE_JOB)])
async def test_kinds_may_come_in_any_order(known: Known, order: tuple[Kind, ...]) -> None:
    bodies = {Kind.FINETUNE_JOB: finetune_job(), Kind.JOB: job(), Kind.POD: pod()}
    for kind in order:
        known.event_handlers.seen(kind, bodies[kind])
    snapshot = known.snapshot()
    assert [j.uid for j in snapshot.jobs] == ["job-1"]
    assert [p.uid for p in snapshot.pods] == ["pod-1"]
    assert await known.next() == "tune-1"
    assert known.queue.depth == 0


async def test_news_of_children_waits_for_more_and_that_of_a_job_does_not(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    assert await known.next() == "tune-1"
    known.event_handlers.seen(Kind.JOB, job())
    known.event_handlers.seen(Kind.POD, pod())
    assert known.queue.depth == 0
    assert await asyncio.wait_for(known.next(), 5) == "tune-1"
    assert known.queue.depth == 0
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(version=2, status={"phase": "Starting"}))
    assert known.queue.depth == 1


async def test_older_news_is_no_news(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(version=10, status={"phase": "Training"}))
    assert await known.next()
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(version=9, status={"phase": "Pending"}))
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(version=10, status={"phase": "Pending"}))
    snapshot = known.snapshot()
    assert snapshot.finetune_job.status == {"phase": "Training"}
    assert known.queue.depth == 0


async def test_versions_are_compared_as_numbers(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(version=999, status={"phase": "Pending"}))
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(version=1000, status={"phase": "Training"}))
    record = known.store.finetune_jobs.get("tune-1")
    assert record is not None
    assert record.status == {"phase": "Training"}


async def test_a_change_that_decides_nothing_gets_nobody_in_line(known: Known) -> None:
    known.event_handlers.seen(Kind.POD, pod())
    known.event_handlers.seen(Kind.JOB, job())
    assert await known.next()
    known.event_handlers.seen(Kind.JOB, job(version=2, annotations={"someone": "was here"}))
    await asyncio.sleep(TOGETHER_SECONDS + 0.1)
    assert known.queue.depth == 0
    assert known.store.jobs.version("job-1") == 2


async def test_our_own_writes_count_at_once_and_quietly(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    assert await known.next()
    assert known.event_handlers.put(Kind.JOB, job(version=5))
    assert known.queue.depth == 0
    snapshot = known.snapshot()
    assert snapshot.jobs


async def test_the_dead_stay_dead(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job())
    known.event_handlers.gone(Kind.JOB, deleted("job-1"))
    known.event_handlers.seen(Kind.JOB, job(version=99))
    snapshot = known.snapshot()
    assert snapshot.jobs == ()


async def test_a_deleted_child_gets_its_owner_in_line(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job())
    known.event_handlers.seen(Kind.POD, pod())
    assert await known.next()
    known.event_handlers.gone(Kind.POD, deleted("pod-1"))
    assert await known.next() == "tune-1"
    known.event_handlers.gone(Kind.JOB, deleted("job-1"))
    assert await known.next() == "tune-1"
    known.event_handlers.gone(Kind.FINETUNE_JOB, deleted("tune-1"))
    assert await known.next() == "tune-1"
    assert known.store.snapshot("tune-1", NOW) is None


async def test_what_a_listing_lacks_is_gone(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job())
    before = known.event_handlers.known(Kind.JOB, "team")
    known.event_handlers.seen(Kind.JOB, job("job-2", name="later"))
    known.event_handlers.vanished(Kind.JOB, before)
    assert known.event_handlers.known(Kind.JOB, None) == {"job-2"}
    assert known.event_handlers.known(Kind.JOB, "other") == set()


async def test_a_job_of_another_namespace_is_not_ours_whatever_it_says(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    foreign = job()
    foreign["metadata"]["namespace"] = "other"
    known.event_handlers.seen(Kind.JOB, foreign)
    snapshot = known.snapshot()
    assert snapshot.jobs == ()


async def test_a_pod_that_only_claims_a_job_is_not_ours(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job())
    claimed = pod()
    claimed["metadata"]["ownerReferences"] = []
    known.event_handlers.seen(Kind.POD, claimed)
    snapshot = known.snapshot()
    assert snapshot.pods == ()


async def test_an_orphaned_child_leaves_its_owner(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job())
    orphan = job(version=2)
    orphan["metadata"]["ownerReferences"] = []
    known.event_handlers.seen(Kind.JOB, orphan)
    snapshot = known.snapshot()
    assert snapshot.jobs == ()


async def test_pods_come_oldest_first(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job())
    for uid, created in (("b", "2026-11-21T12:00:09Z"), ("a", "2026-11-21T12:00:01Z"), ("c", "2026-11-21T12:01:00Z")):
        known.event_handlers.seen(Kind.POD, pod(uid, name=uid, creationTimestamp=created))
    snapshot = known.snapshot()
    assert [record.uid for record in snapshot.pods] == ["a", "b", "c"]


async def test_new_jobs_go_first(known: Known) -> None:
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job("old", status={"phase": "Training"}))
    known.event_handlers.seen(Kind.FINETUNE_JOB, {**finetune_job("new"), "metadata": meta("new", "new")})
    assert [await known.next(), await known.next()] == ["new", "old"]


async def test_a_pod_that_ended_and_went_at_once_is_kept_until_it_was_told(known: Known) -> None:
    for kind, body in ((Kind.FINETUNE_JOB, finetune_job()), (Kind.JOB, job()), (Kind.POD, pod())):
        known.event_handlers.seen(kind, body)
    known.event_handlers.seen(Kind.POD, pod(version=2, status={"phase": "Failed"}))
    known.event_handlers.gone(Kind.POD, deleted("pod-1"))
    before = known.snapshot()
    assert [p.phase for p in before.pods] == ["Failed"]
    assert [p.uid for p in known.snapshot().pods] == ["pod-1"], "a reconcile that fails is done again"
    known.store.drop_recorded(before)
    assert known.snapshot().pods == ()


async def test_a_pod_that_went_before_it_ended_leaves_nothing(known: Known) -> None:
    for kind, body in ((Kind.FINETUNE_JOB, finetune_job()), (Kind.JOB, job()), (Kind.POD, pod())):
        known.event_handlers.seen(kind, body)
    known.event_handlers.gone(Kind.POD, deleted("pod-1"))
    assert known.snapshot().pods == ()


async def test_an_object_that_is_shown_again_after_it_lost_its_label_counts_again(known: Known) -> None:
    """But not by an event that is older than its disappearance, nor one that is known to have vanished."""
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job())
    known.event_handlers.seen(Kind.JOB, job(version=3))
    known.event_handlers.gone(Kind.JOB, deleted("job-1", version=5))
    known.event_handlers.seen(Kind.JOB, job(version=4))
    assert known.snapshot().jobs == ()
    known.event_handlers.seen(Kind.JOB, job(version=6))
    assert [each.uid for each in known.snapshot().jobs] == ["job-1"]
    known.event_handlers.remove(Kind.JOB, "job-1")
    known.event_handlers.seen(Kind.JOB, job(version=7))
    assert known.snapshot().jobs == ()


async def test_pods_are_found_by_the_recorded_job_though_it_is_gone(known: Known) -> None:
    children = {"children": [{"name": "movies-1", "uid": "job-1"}]}
    known.event_handlers.seen(Kind.FINETUNE_JOB, finetune_job(status=children))
    known.event_handlers.seen(Kind.JOB, job())
    known.event_handlers.seen(Kind.POD, pod())
    known.event_handlers.remove(Kind.JOB, "job-1")
    snapshot = known.snapshot()
    assert [each.uid for each in snapshot.pods] == ["pod-1"]
    assert snapshot.vanished == {"job-1"}


async def test_an_orphan_is_found_by_its_label_if_the_status_knows_it(known: Known) -> None:
    orphan = pod()
    orphan["metadata"]["ownerReferences"] = []
    known.event_handlers.seen(Kind.POD, orphan)
    known.event_handlers.seen(
        Kind.FINETUNE_JOB, finetune_job(status={"attempts": [{"number": 1, "pod": "movies-1-0"}]})
    )
    assert [each.uid for each in known.snapshot().pods] == ["pod-1"]
