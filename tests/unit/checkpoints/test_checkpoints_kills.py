"""The process dies at every write that it makes, before and after the store carries it out."""

import pytest
from checkpoint_worlds import LINEAGE, DeadError, Dying, Watched, World, same, snapshot

from finetune_api.output import Checkpoints
from finetune_trainer.checkpoints.store import CheckpointStore

KEEP = Checkpoints(keep_last=1, keep_best=1)
STEPS = (10, 20, 30, 40)


def metric(step: int) -> float:
    return {10: 0.5, 20: 0.2, 30: 0.4, 40: 0.3}[step]


def run(world: World, dying: Dying) -> tuple[int, CheckpointStore]:
    """Go on from what there is until the end or death; returns the newest step that was told to be safe."""
    output = world.output()
    output.folder = Watched(output.folder, dying)
    store = world.attempt(output, KEEP)
    safe = 0
    try:
        resumed = store.newest(LINEAGE)
        safe = resumed.manifest.step if resumed else 0
        for step in STEPS:
            if step > safe:
                store.save(snapshot(step, metric(step)))
                store.finish()
                safe = store.committed[-1].step
    except DeadError:
        safe = max([safe, *(info.step for info in store.committed)])
    finally:
        store.close()
    return safe, store


def most_writes(tmp_world: World) -> int:
    dying = Dying(10_000, after=False)
    run(tmp_world, dying)
    return dying.writes


@pytest.mark.parametrize("after", [False, True])
def test_nothing_committed_is_lost_and_nothing_else_is_believed(world: World, after: bool) -> None:
    total = most_writes(world)
    assert total > 20, "four checkpoints of four files, and deletions"
    for number in range(1, total + 1):
        here = World(world.root / f"{number}")
        safe, _ = run(here, Dying(number, after=after))
        survivor = here.attempt(keep=KEEP)
        resumed = survivor.newest(LINEAGE)
        found = resumed.manifest.step if resumed else 0
        assert found >= safe
        assert found == 0 or (resumed and same(resumed.snapshot, snapshot(found, metric(found))))
        assert [w for w in here.warnings if "can't be used" in w] == [], "a half one does not even look like one"
        half = {path.rsplit("/", 1)[0] for path in here.stored()} - {
            path.rsplit("/", 1)[0] for path in here.stored() if path.endswith("MANIFEST.json")
        }
        assert half == set(), "leftovers are swept"
        here.close()


@pytest.mark.parametrize("second", [1, 4, 5, 9])
def test_deaths_in_a_row_cost_nothing_that_was_safe(world: World, second: int) -> None:
    for number in range(1, 25, 3):
        here = World(world.root / f"{number}")
        first_safe, _ = run(here, Dying(number, after=False))
        second_safe, _ = run(here, Dying(second, after=True))
        found = here.attempt(keep=KEEP).newest(LINEAGE)
        assert (found.manifest.step if found else 0) >= max(first_safe, second_safe)
        last, store = run(here, Dying(10_000, after=False))
        assert last == STEPS[-1]
        assert [info.step for info in store.committed][-1] == STEPS[-1]
        here.close()
