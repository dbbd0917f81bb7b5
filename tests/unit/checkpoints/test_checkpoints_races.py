"""Two attempts at one output at the same time, as when a node that was thought lost comes back."""

import threading

import pytest
from checkpoint_worlds import LINEAGE, World, same, snapshot

from finetune_api.failures import Fenced
from finetune_api.output import Checkpoints
from finetune_trainer.checkpoints.store import CheckpointStore

KEEP = Checkpoints(keep_last=1, keep_best=0)


def train_until_fenced(store: CheckpointStore, ends: list[Exception]) -> None:
    try:
        for step in range(1, 10_000):
            store.save(snapshot(step))
            store.check()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it must be the right one
        ends.append(error)


@pytest.mark.causes("Fenced")
@pytest.mark.parametrize("seed", range(25))
def test_the_newer_attempt_goes_on_from_all_that_the_older_was_sure_of(world: World, seed: int) -> None:
    older = world.attempt(keep=KEEP)
    older.newest(LINEAGE)
    ends: list[Exception] = []
    training = threading.Thread(target=train_until_fenced, args=(older, ends))
    training.start()
    training.join(seed / 800)
    newer = world.attempt(keep=KEEP)
    resumed = newer.newest(LINEAGE)
    found = resumed.manifest.step if resumed else 0
    training.join(60)
    assert [type(end) for end in ends] == [Fenced]
    assert found >= max((info.step for info in older.committed), default=0)
    assert resumed is None or same(resumed.snapshot, snapshot(found))
    newer.save(snapshot(found + 1))
    newer.finish()
    last = world.attempt().newest(LINEAGE)
    assert last is not None
    assert last.manifest.step >= found + 1
    assert [warning for warning in world.warnings if "can't be used" in warning] == []
