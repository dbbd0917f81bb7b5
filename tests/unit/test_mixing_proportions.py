"""How many rows each source gives where they are drawn by weights, and what sources are called."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import DataSource
from finetune_trainer.data.mixing import common_prefix, draw_shares, mixing_shares, quotas, source_names
from finetune_trainer.data.splits import draw_keys

mixes = st.lists(st.tuples(st.integers(0, 200), st.floats(0.01, 100)), min_size=1, max_size=6).filter(
    lambda mix: sum(size for size, _ in mix) > len(mix)
)


def sources(*weights: float | None) -> list[DataSource]:
    return [DataSource(uri=f"file://{number}.csv", weight=weight) for number, weight in enumerate(weights)]


@given(mix=mixes, data=st.data())
def test_quotas_never_ask_for_more_than_there_is(mix: list[tuple[int, float]], data: st.DataObject) -> None:
    sizes, weights = np.asarray([size for size, _ in mix]), [weight for _, weight in mix]
    wanted = data.draw(st.integers(len(mix), int(sizes.sum())))
    found = quotas(sizes, weights, wanted)
    assert set(found) == set(np.flatnonzero(sizes))
    assert all(1 <= part <= sizes[number] for number, part in found.items())
    assert abs(sum(found.values()) - wanted) <= len(mix)


def test_what_a_small_source_lacks_comes_from_the_others() -> None:
    assert quotas(np.asarray([100, 10, 100]), (0.25, 0.5, 0.25), 60) == {0: 25, 1: 10, 2: 25}
    assert quotas(np.asarray([100, 100]), (0.75, 0.25), 40) == {0: 30, 1: 10}


def test_rows_are_drawn_by_shares_or_by_sizes() -> None:
    owner = np.repeat([0, 1], [90, 10])
    keys, alike = draw_keys(map(str, range(100)), 1), np.zeros(100, np.int64)
    drawn = draw_shares(keys, alike, owner, (0.5, 0.5), 16)
    assert np.bincount(owner[drawn]).tolist() == [8, 8]
    assert (np.diff(drawn) > 0).all()
    assert np.bincount(owner[draw_shares(keys, owner, owner, None, 20)]).tolist() == [18, 2]
    assert len(draw_shares(keys, alike, owner, (0.5, 0.5), 1_000)) == 100


def test_shares_add_up() -> None:
    assert mixing_shares(sources(3, 1)) == (0.75, 0.25)
    assert mixing_shares(sources(None, None)) is None


def test_every_source_has_a_name_of_its_own() -> None:
    hub = {"uri": "hf://datasets/owner/rows"}
    named = [{**hub, "subset": "en"}, {**hub, "subset": "es"}, hub, hub]
    assert source_names([DataSource.model_validate(source) for source in named]) == [
        "hf://datasets/owner/rows en",
        "hf://datasets/owner/rows es",
        "hf://datasets/owner/rows",
        "hf://datasets/owner/rows #2",
    ]


def test_a_prefix_is_common_or_none() -> None:
    plain, said = DataSource(uri="file://a"), DataSource(uri="file://b", prefix="say: ")
    assert common_prefix([said, said]) == "say: "
    assert common_prefix([said, plain]) == ""
