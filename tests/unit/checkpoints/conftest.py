"""Fixtures of the tests of checkpoints."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoint_worlds import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An output without anything in it."""
    world = World(tmp_path)
    yield world
    world.close()
