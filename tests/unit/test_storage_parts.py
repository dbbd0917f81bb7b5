from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.storage.object_stores import UPLOAD_SECONDS
from finetune_trainer.storage.parts import MOST_PARTS, parts_of

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def test_most_files_go_in_small_parts() -> None:
    for size in (0, 1, 8 * MIB, 48 * GIB):
        assert (parts_of(size).size, parts_of(size).at_once) == (8 * MIB, 4)


def test_above_10_000_small_parts_they_grow() -> None:
    assert parts_of(78 * GIB).size == 8 * MIB
    assert parts_of(79 * GIB).size == 9 * MIB
    assert parts_of(TIB).size == 105 * MIB


def test_a_slow_line_is_fast_enough() -> None:
    """What is under way together must be up before the first answer is waited for too long: 1.5 Mbit/s do."""
    parts = parts_of(10 * GIB)
    assert parts.size * parts.at_once / UPLOAD_SECONDS <= 1.5e6 / 8


@given(st.integers(0, 5 * TIB))
def test_no_file_takes_too_many_parts_or_too_much_memory(size: int) -> None:
    parts = parts_of(size)
    assert -(-size // parts.size) <= MOST_PARTS
    assert 5 * MIB <= parts.size <= 5 * GIB, "what S3 takes"
    assert parts.at_once >= 2
    assert parts.size * parts.at_once <= 256 * MIB or parts.at_once == 2


@given(st.integers(0, 5 * TIB), st.integers(0, TIB))
def test_larger_files_never_go_in_smaller_parts(size: int, more: int) -> None:
    assert parts_of(size + more).size >= parts_of(size).size
