"""Whatever is in a manifest, reading it ends in a checkpoint or in a reason against it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from checkpoint_worlds import LINEAGE
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.manifest import FileEntry
from finetune_trainer.checkpoints.layout import Place
from finetune_trainer.checkpoints.verification import Origin, UnusableError, check_manifest
from finetune_trainer.output.claims import Claim

PLACE = Place(30, Claim(2))
SIZES = {"state.json": 5, "weights.safetensors": 70, "MANIFEST.json": 900}
ORIGIN = Origin("uid-1", LINEAGE)
GOOD = CheckpointManifest(
    job="reviews",
    uid="uid-1",
    attempt=2,
    step=30,
    epoch=1.5,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    files=[FileEntry(path=path, size=size, sha256="a" * 64) for path, size in SIZES.items() if path != "MANIFEST.json"],
    lineage=LINEAGE,
)
CONTENT = GOOD.model_dump_json(by_alias=True).encode()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


def accepted(content: bytes) -> CheckpointManifest | None:
    try:
        return check_manifest(content, PLACE, SIZES, ORIGIN)
    except UnusableError:
        return None


def test_a_good_one_is_accepted() -> None:
    assert accepted(CONTENT) == GOOD


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused(content: bytes) -> None:
    assert accepted(content) is None


@given(st.sampled_from(sorted(json.loads(CONTENT))), JSON)
def test_a_field_of_another_value_changes_nothing_that_counts(field: str, value: Any) -> None:
    found = accepted(json.dumps({**json.loads(CONTENT), field: value}).encode())
    if found is not None:
        assert (found.uid, found.attempt, found.step) == (GOOD.uid, GOOD.attempt, GOOD.step)
        assert {entry.path: entry.size for entry in found.files}.items() <= SIZES.items()
        assert found.lineage.spec_digest == LINEAGE.spec_digest


@given(st.integers(0, len(CONTENT) - 1), st.integers(0, 7))
def test_a_flipped_bit_changes_nothing_that_counts(at: int, bit: int) -> None:
    content = bytearray(CONTENT)
    content[at] ^= 1 << bit
    found = accepted(bytes(content))
    if found is not None:
        assert (found.uid, found.attempt, found.step) == (GOOD.uid, GOOD.attempt, GOOD.step)
        assert [(entry.path, entry.size) for entry in found.files] == [(e.path, e.size) for e in GOOD.files]


@pytest.mark.parametrize("at", range(0, len(CONTENT), 37))
def test_half_a_manifest_is_none(at: int) -> None:
    assert accepted(CONTENT[:at]) is None
