from datetime import UTC, datetime

from checkpoint_worlds import ACCURACY, LINEAGE, LOSS
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.manifest import FileEntry
from finetune_api.metrics import Metric
from finetune_api.output import Checkpoints
from finetune_trainer.checkpoints.committed import Committed
from finetune_trainer.checkpoints.layout import Place, find_places
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.output.claims import Claim


def one(step: int, attempt: int = 1, metric: float | None = None) -> Committed:
    manifest = CheckpointManifest(
        job="a",
        uid="b",
        attempt=attempt,
        step=step,
        epoch=0,
        created_at=datetime.now(UTC),
        files=[FileEntry(path="state.json", size=1, sha256="0" * 64)],
        lineage=LINEAGE,
        metric=metric,
    )
    return Committed(Place(step, Claim(attempt)), manifest, "0" * 64)


def steps(found: list[Committed]) -> list[int]:
    return [committed.place.step for committed in found]


def test_the_best_depends_on_the_metric() -> None:
    committed = [one(1, metric=0.5), one(2, metric=0.1), one(3, metric=0.9), one(4), one(5, metric=0.4)]
    keep = Checkpoints(keep_last=1, keep_best=1)
    assert steps(Retention(keep, LOSS).superseded(committed, None)) == [1, 3, 4]
    assert steps(Retention(keep, ACCURACY).superseded(committed, None)) == [1, 2, 4]


def test_of_equals_the_earlier_is_the_best() -> None:
    committed = [one(1, metric=0.5), one(2, metric=0.5), one(3)]
    assert steps(Retention(Checkpoints(keep_last=1, keep_best=1), LOSS).superseded(committed, None)) == [2]


def test_of_the_same_step_the_later_attempt_is_newer() -> None:
    found = Retention(Checkpoints(keep_last=1, keep_best=0), LOSS).superseded([one(5, 2), one(5, 1), one(4, 3)], None)
    assert [(committed.place.step, committed.place.claim.number) for committed in found] == [(4, 3), (5, 1)]


checkpoints = st.lists(
    st.builds(one, st.integers(0, 50), st.integers(1, 3), st.none() | st.floats(-5, 5)),
    unique_by=lambda committed: committed.place,
    max_size=12,
)


@given(checkpoints, st.integers(1, 4), st.integers(0, 4), st.sampled_from([LOSS, ACCURACY]), st.data())
def test_what_must_stay_stays(
    committed: list[Committed], last: int, best: int, metric: Metric, data: st.DataObject
) -> None:
    source = data.draw(st.none() | st.sampled_from([c.place for c in committed])) if committed else None
    gone = Retention(Checkpoints(keep_last=last, keep_best=best), metric).superseded(committed, source)
    kept = [c for c in committed if c not in gone]
    newest_first = sorted(committed, key=lambda c: c.place, reverse=True)
    assert set(steps(gone)) <= set(steps(committed)), "nothing from elsewhere"
    assert [c.place for c in gone] == sorted(c.place for c in gone), "oldest first"
    assert all(c in kept for c in newest_first[:last])
    assert source is None or source in [c.place for c in kept]
    assert len(kept) <= last + best + 1
    for dropped in gone:
        better = [c for c in kept if at_least_as_good(c, dropped, metric)]
        assert dropped.manifest.metric is None or len(better) >= best


def at_least_as_good(one: Committed, other: Committed, metric: Metric) -> bool:
    mine, its = one.manifest.metric, other.manifest.metric
    return mine is not None and its is not None and metric.better(mine, than=its) >= 0


@given(checkpoints, st.integers(1, 4), st.integers(0, 4))
def test_what_is_kept_is_kept_again(committed: list[Committed], last: int, best: int) -> None:
    retention = Retention(Checkpoints(keep_last=last, keep_best=best), LOSS)
    gone = retention.superseded(committed, None)
    assert retention.superseded([c for c in committed if c not in gone], None) == []


@given(st.integers(0, 999_999_999), st.integers(1, 999), st.sampled_from(["", "0a1b2c3d"]))
def test_a_place_is_found_where_it_says_it_is(step: int, attempt: int, token: str) -> None:
    place = Place(step, Claim(attempt, token))
    assert find_places([(place.manifest, 7), (place.file("x"), 9)]) == {place: {"MANIFEST.json": 7, "x": 9}}


@given(st.text(st.sampled_from("checkpoints/0123-abMANIFEST.json"), max_size=40))
def test_whatever_is_listed_a_place_is_inside(path: str) -> None:
    for place in find_places([(path, 1), (f"checkpoints/{path}", 1)]):
        assert place.folder.startswith("checkpoints/")
        assert ".." not in place.folder
