"""Split names in file and folder names, in JSON keys, and on the hub. Pure."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing"),
}
"""By place in the spec, the usual name first."""

_PLACES = {name: place for place, names in SPLIT_NAMES.items() for name in names}
_WORD = re.compile(r"[a-z]+")
_ABOUT = frozenset({
    "dataset_info", "dataset_infos", "dataset_dict", "state", "metadata", "croissant", "datapackage", "schema",
    "config", "package", "dataset-metadata", "id2label", "label2id", "label_map",
})  # fmt: skip
"""Stems of JSON files that tell of the data and hold no rows."""


def place_of(name: str) -> str:
    """The split that a name stands for, case-insensitively; empty for none."""
    return _PLACES.get(name.lower(), "")


def place_of_file(path: str) -> str:
    """The split that a path below a folder stands for, outermost part first; empty for none.

    A part with words of two places stands for none: `train_test.csv`.
    """
    for part in PurePosixPath(path.lower()).parts:
        found = {_PLACES[word] for word in _WORD.findall(part) if word in _PLACES}
        if found:
            return found.pop() if len(found) == 1 else ""
    return ""


def is_about_data(path: str) -> bool:
    """Whether a file is metadata, as in data sets from the hub: `dataset_info.json`."""
    name = PurePosixPath(path.lower()).name
    return name.endswith(".json") and name.removesuffix(".json") in _ABOUT


def files_of_place(paths: Sequence[str], place: str) -> tuple[list[str], str]:
    """Files of a folder that belong to a split, or the reason that is ambiguous.

    Without names of splits all files do; with some, those of the place, if every file has one.
    """
    places = {path: place_of_file(path) for path in paths}
    others = [path for path, found in places.items() if not found]
    if not place or len(others) == len(paths):
        return list(paths), ""
    own = [path for path, found in places.items() if found == place]
    if not own:
        named = [path for path, found in places.items() if found]
        return [], f"none of its files is named for {place} rows: {_listed([*named, *others])}"
    if others:
        return [], f"some files are named for a split and some are not: {_listed([*own[:2], *others])}"
    return own, ""


def key_of_place(arrays: Mapping[str, object], place: str, usual: Sequence[str]) -> tuple[str | None, str]:
    """Key of a JSON object with the rows of a split, or the reason that is ambiguous.

    `arrays` are the keys that hold rows, `usual` those that hold the rows of any place. None where no key fits.
    """
    own = [key for key in arrays if place and place_of(key) == place]
    named = [key for key in arrays if place_of(key)]
    general = [key for key in usual if key in arrays]
    if len(own) == 1:
        return own[0], ""
    if len(own) > 1 or (not general and (len(named) > 1 or (place and named))):
        what = f"for {place}, " if place else ""
        return None, f"{what}rows are under {_listed(own or named)}"
    if general or named:
        return (general or named)[0], ""
    return (next(iter(arrays)), "") if len(arrays) == 1 else (None, "")


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
