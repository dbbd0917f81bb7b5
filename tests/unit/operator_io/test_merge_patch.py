import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.merge_patch import merge_patch

LEAVES = st.one_of(st.integers(-3, 3), st.sampled_from(["", "a", "b"]), st.booleans())
VALUES = st.recursive(
    st.one_of(LEAVES, st.lists(LEAVES, max_size=3)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def apply(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    target = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = apply(target.get(key), value)
    return target


@given(OBJECTS, OBJECTS)
def test_the_patch_leads_from_old_to_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert apply(old, merge_patch(old, new)) == new


@given(OBJECTS)
def test_nothing_changes_nothing(value: dict[str, Any]) -> None:
    assert merge_patch(value, copy.deepcopy(value)) == {}
