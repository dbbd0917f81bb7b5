import gc
import resource
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_worlds import LINEAGE, Watched, World, snapshot

from finetune_api.failures import OutputNotWritable, PermissionDenied, StorageUnavailable
from finetune_api.output import Checkpoints
from finetune_trainer.checkpoints.persistence import Persistence
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.staging import Staging
from finetune_trainer.checkpoints.store import CheckpointStore

Write = Callable[[], None]
ENDLESS = Persistence(first_wait=0.01, seconds=60, lag_seconds=60)


class Gate:
    """Holds all writes of data files until it is opened."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self.failure: Exception | None = None
        self.tries: list[str] = []

    def __call__(self, path: str, write: Write) -> None:
        self.tries.append(path)
        if path.startswith("checkpoints/"):
            self.reached.set()
            assert self.opened.wait(30)
            if self.failure is not None:
                raise self.failure
        write()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def opened(world: World, on_write: Callable[[str, Write], None], persistence: Persistence = ENDLESS) -> CheckpointStore:
    output = world.output()
    output.folder = Watched(output.folder, on_write)
    store = world.attempt(output, Checkpoints(keep_last=9), persistence)
    store.newest(LINEAGE)
    return store


def test_saving_returns_while_the_upload_goes_on(world: World, gate: Gate) -> None:
    store = opened(world, gate)
    store.save(snapshot(10))
    assert gate.reached.wait(30)
    store.check()
    assert store.committed == ()
    assert store.newest_upload is None
    gate.opened.set()
    store.finish()
    assert [info.step for info in store.committed] == [10]


def test_the_next_one_waits_for_the_one_before(world: World, gate: Gate) -> None:
    store = opened(world, gate)
    store.save(snapshot(10))
    second = threading.Thread(target=store.save, args=(snapshot(20),))
    second.start()
    assert gate.reached.wait(30)
    second.join(0.2)
    assert second.is_alive()
    assert not any("/20/" in path for path in gate.tries)
    gate.opened.set()
    second.join(30)
    store.finish()
    assert [info.step for info in store.committed] == [10, 20]


def test_memory_is_free_once_a_snapshot_is_on_disk(world: World, gate: Gate) -> None:
    store = opened(world, gate)
    large = torch.ones(1000)
    gone = weakref.ref(large)
    store.save(Snapshot(10, 0, {"weights": {"a": large}}, {}))
    del large
    assert gate.reached.wait(30)
    gc.collect()
    assert gone() is None


def test_training_that_waits_is_told_why(world: World, gate: Gate) -> None:
    class Opening(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            gate.opened.set()

    world.warnings = Opening()
    store = opened(world, gate, Persistence(lag_seconds=0.01))
    store.save(snapshot(10))
    store.wait()
    assert "training waits for the upload of the checkpoint at step 10" in world.warnings[0]


def test_waiting_ends_where_there_is_no_time_for_it(world: World, gate: Gate) -> None:
    store = opened(world, gate)
    store.save(snapshot(10))
    assert gate.reached.wait(30)
    assert not store.wait(lambda: True)
    assert (store.committed, world.warnings) == ((), [])
    gate.opened.set()
    assert store.wait(lambda: False)
    assert [info.step for info in store.committed] == [10]


def test_an_upload_is_tried_again_and_sends_only_what_is_missing(world: World) -> None:
    tries: list[str] = []

    def shaky(path: str, write: Write) -> None:
        tries.append(path.rpartition("/")[2])
        if path.startswith("checkpoints/") and tries.count(tries[-1]) < 3:
            raise StorageUnavailable("not now")
        write()

    store = opened(world, shaky)
    store.save(snapshot(10))
    store.finish()
    parts = ["optimizer.safetensors", "state.json", "weights.safetensors", "MANIFEST.json"]
    assert [name for name in tries if name in parts] == [name for name in parts for _ in range(3)]
    assert world.warnings == []


def test_an_answer_that_is_lost_does_not_lose_the_checkpoint(world: World) -> None:
    """The store carries out each write, and says at first that it did not."""
    seen: set[str] = set()

    def deaf(path: str, write: Write) -> None:
        write()
        if path.startswith("checkpoints/") and path not in seen:
            seen.add(path)
            raise StorageUnavailable("no answer")

    store = opened(world, deaf)
    store.save(snapshot(10))
    store.finish()
    assert [info.step for info in store.committed] == [10]
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert resumed.info == store.committed[0]


def test_files_that_vanish_are_sent_again(world: World) -> None:
    lost: list[str] = []

    def forgetful(path: str, write: Write) -> None:
        write()
        if path.endswith("weights.safetensors") and not lost:
            (world.folder / path).unlink()
            lost.append(path)

    store = opened(world, forgetful)
    store.save(snapshot(10))
    store.finish()
    assert lost
    assert world.attempt().newest(LINEAGE) is not None


def unavailable(path: str, write: Write) -> None:
    if path.startswith("checkpoints/"):
        raise StorageUnavailable("the store is down")
    write()


@pytest.mark.causes("StorageUnavailable")
def test_training_goes_on_without_some_and_ends_without_many(world: World) -> None:
    hasty = Persistence(first_wait=0.001, seconds=0.01, misses=3)
    store = opened(world, unavailable, hasty)
    store.save(snapshot(10))
    store.wait()
    store.save(snapshot(20))
    store.wait()
    assert [w.split(",")[0] for w in world.warnings] == [
        "the checkpoint at step 10 was not saved",
        "the checkpoint at step 20 was not saved",
    ]
    store.save(snapshot(30))
    with pytest.raises(StorageUnavailable, match="the store is down"):
        store.wait()
    with pytest.raises(StorageUnavailable):
        store.check()


def test_one_that_is_saved_ends_the_row_of_misses(world: World) -> None:
    down = [True]

    def sometimes(path: str, write: Write) -> None:
        (unavailable if down[0] else lambda _path, write: write())(path, write)

    store = opened(world, sometimes, Persistence(first_wait=0.001, seconds=0.01, misses=2))
    for step, is_down in ((10, True), (20, False), (30, True), (40, False)):
        down[0] = is_down
        store.save(snapshot(step))
        store.wait()
    assert [info.step for info in store.committed] == [20, 40]


def test_the_last_one_must_be_safe_at_the_end(world: World) -> None:
    store = opened(world, unavailable, Persistence(first_wait=0.001, seconds=0.01))
    store.save(snapshot(10))
    with pytest.raises(StorageUnavailable):
        store.finish()


@pytest.mark.parametrize("name", ["weights.safetensors", "MANIFEST.json"])
def test_a_missed_step_can_be_saved_again(world: World, name: str) -> None:
    down = [True]

    def deaf(path: str, write: Write) -> None:
        write()
        if down[0] and path.endswith(name):
            raise StorageUnavailable("no answer")

    store = opened(world, deaf, Persistence(first_wait=0.001, seconds=0))
    store.save(snapshot(10))
    store.wait()
    assert store.committed == ()
    down[0] = False
    store.save(replace(snapshot(10), values={"measured": "since"}))
    store.finish()
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert resumed.info == store.committed[0]


@pytest.mark.parametrize("failure", [PermissionDenied("no"), OutputNotWritable("no"), RuntimeError("a defect")])
def test_what_no_other_try_can_cure_is_raised_at_once(world: World, gate: Gate, failure: Exception) -> None:
    gate.failure = failure
    gate.opened.set()
    store = opened(world, gate)
    store.save(snapshot(10))
    with pytest.raises(type(failure)):
        store.wait()
    assert len([path for path in gate.tries if path.startswith("checkpoints/")]) == 1
    with pytest.raises(type(failure)):
        store.save(snapshot(20))


def test_who_stops_waits_only_so_long(world: World, gate: Gate) -> None:
    store = opened(world, gate)
    store.save(snapshot(10))
    with pytest.raises(StorageUnavailable, match="no more time to upload the checkpoint at step 10"):
        store.finish(0.01)
    gate.opened.set()
    store.finish(60)
    assert [info.step for info in store.committed] == [10]


def test_nothing_is_committed_after_the_end(world: World, gate: Gate) -> None:
    store = opened(world, gate)
    store.save(snapshot(10))
    assert gate.reached.wait(30)
    closing = threading.Thread(target=store.close)
    closing.start()
    while not store._uploader._closed.is_set():
        closing.join(0.01)
    gate.opened.set()
    closing.join(30)
    assert store.committed == ()
    assert not any(path.endswith("MANIFEST.json") for path in world.stored())


def test_waiting_for_another_try_ends_with_the_run(world: World) -> None:
    store = opened(world, unavailable, Persistence(first_wait=3600, seconds=10_000))
    store.save(snapshot(10))
    store.close()
    assert "checkpoints" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.causes("OutputNotWritable")
def test_a_disk_without_room_is_told_before_it_is_filled(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "checkpoints")
    staging.write(snapshot(1))
    everything = torch.zeros(1).expand(10**15)
    with pytest.raises(OutputNotWritable, match=f"no room for the checkpoint at step 5 in {tmp_path}") as caught:
        staging.write(Snapshot(5, 0, {"weights": {"a": everything}}, {}))
    assert "it takes 3,814,697,267 MiB there until it is uploaded" in caught.value.problems[0].hint
    assert not (tmp_path / "checkpoints").exists(), "what was there made way"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What a full disk is to a process: writes fail in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.causes("OutputNotWritable")
@pytest.mark.parametrize("limit", [0, 10_000])
def test_a_disk_that_fills_up_meanwhile_is_told_too(world: World, limit: int) -> None:
    store = opened(world, lambda _path, write: write())
    with files_of_at_most(limit):
        store.save(snapshot(10, size=100_000))
        with pytest.raises(OutputNotWritable, match="no room for the checkpoint at step 10"):
            store.finish()
    assert world.stored() == set()


def test_old_local_copies_go_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/40").mkdir(parents=True)
    (tmp_path / "checkpoints/40/weights.safetensors").write_bytes(b"of another process")
    Staging(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
