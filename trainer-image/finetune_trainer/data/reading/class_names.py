"""Class names of integer columns, from the features of a data set. Pure.

Features are as `datasets` writes them (`Features.to_dict()`), also into the `huggingface` metadata of Parquet files:
`{"label": {"names": ["ham", "spam"], "_type": "ClassLabel"}}`, inside of sequences, lists and structs as well.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

Unpack = Callable[[Any], object]
_SEQUENCES = ("Sequence", "List", "LargeList")


def unpackers(features: Mapping[str, Any]) -> dict[str, Unpack]:
    """For each column with class ids, a function that replaces ids by names.

    A number without a name (-1: no label) becomes None.
    """
    found = {column: _unpacker(feature) for column, feature in features.items()}
    return {column: unpack for column, unpack in found.items() if unpack is not None}


def named(values: Mapping[str, object], unpack: Mapping[str, Unpack]) -> dict[str, object]:
    """The cells of a row with class names in place of ids."""
    return {column: unpack[column](cell) if column in unpack else cell for column, cell in values.items()}


def parquet_features(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """The features in the metadata of a Parquet or Arrow schema; empty where there are none."""
    try:
        found = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _unpacker(feature: Any) -> Unpack | None:
    if isinstance(feature, list):  # the old way to write a list
        return _of_list(_unpacker(feature[0])) if feature else None
    if not isinstance(feature, dict):
        return None
    kind = feature.get("_type")
    if kind == "ClassLabel" and isinstance(feature.get("names"), list):
        return _of_class(feature["names"])
    if kind in _SEQUENCES:
        return _of_list(_unpacker(feature.get("feature")))
    if isinstance(kind, str):
        return None
    return _of_struct(unpackers(feature))


def _of_class(names: list[str]) -> Unpack:
    def name(cell: object) -> str | None:
        return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None

    return name


def _of_list(inner: Unpack | None) -> Unpack | None:
    """Unpacker for lists; a sequence of structs may also be a struct of lists."""
    if inner is None:
        return None

    def names(cell: object) -> object:
        if isinstance(cell, dict):
            rows = [dict(zip(cell, row, strict=True)) for row in zip(*cell.values(), strict=True)]
            return {key: [inner(row)[key] for row in rows] for key in cell}  # type: ignore[index]
        return [inner(item) for item in cell] if isinstance(cell, list) else None

    return names


def _of_struct(inner: Mapping[str, Unpack]) -> Unpack | None:
    if not inner:
        return None
    return lambda cell: named(cell, inner) if isinstance(cell, dict) else cell
