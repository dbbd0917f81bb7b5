"""JSON merge patches (RFC 7386): the smallest change that makes one object into another."""

from finetune_operator.records import Json


def merge_patch(old: Json, new: Json) -> Json:
    """Return what to merge into `old` to get `new`; empty where they are equal. Lists are replaced whole."""
    patch: Json = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif key not in old or value != before:
            patch[key] = value
    return patch
