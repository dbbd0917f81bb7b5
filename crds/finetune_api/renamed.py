"""Former names of renamed fields and values: accepted in stored data, rejected in new specs.

Whoever reads a stored or transmitted document maps it with `current_names` before the models see it; whoever writes one
for another version, or computes a digest that outlives an upgrade, maps back with `first_names`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel

_VIRTUAL_TOKENS = {"virtualTokens": "numVirtualTokens"}
FIELDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Training": {
            "deviceBatchSize": "perDeviceBatchSize",
            "scheduler": "lrSchedulerType",
            "neftuneAlpha": "neftuneNoiseAlpha",
        },
        "Policy": {"samplesPerPrompt": "numGenerations", "passesPerRollout": "numIterations"},
        "Full": {"layerwiseDecay": "layerwiseLrDecay"},
        "PrefixTuning": _VIRTUAL_TOKENS,
        "PromptTuning": _VIRTUAL_TOKENS,
        "PTuning": _VIRTUAL_TOKENS,
        "Evaluation": {"everySteps": "evalSteps"},
        "Checkpoints": {"everySteps": "saveSteps"},
        "Report": {"trivial": "trivialBaseline"},
    }
)
"""First and present name on the wire of each renamed field, by model."""
VALUES: Mapping[str, Mapping[str, str]] = MappingProxyType({"PreferenceLoss": {"Sigmoid": "DPO"}})
"""First and present word of each renamed value, by enum."""
KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType({"figures": {"constantGroups": "zeroVarianceGroups"}})
"""First and present key of mappings, by the field on the wire that holds them (curves of reports and checkpoints)."""

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Renames:
    """Renames in a model and below: fields from first to current name; of values and keys, and blocks, by field."""

    fields: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    blocks: Mapping[str, "Renames"]

    def __bool__(self) -> bool:
        """Whether anything was renamed."""
        return bool(self.fields or self.values or self.blocks)


def renamed_message(first: str, present: str) -> str:
    """Message to a user of the first name."""
    return f"{first} is called {present} now"


def classes_in(annotation: Any) -> Iterator[type]:
    """The classes in the type of a field, such as `list[X] | None`."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from classes_in(argument)


@cache
def renames_in(model: type[BaseModel]) -> Renames:
    """Renames in `model` and below."""
    fields = FIELDS.get(model.__name__, {})
    values, blocks = dict[str, Mapping[str, str]](), dict[str, Renames]()
    for name, info in model.model_fields.items():
        wire = info.alias or name
        if wire in KEYS:
            values[wire] = KEYS[wire]
        for kind in classes_in(info.annotation):
            if kind.__name__ in VALUES:
                values[wire] = VALUES[kind.__name__]
            below = renames_in(kind) if issubclass(kind, BaseModel) else None
            if below:
                blocks[wire] = below
    return Renames(fields, values, blocks)


def is_renamed(model: type[BaseModel], field: str) -> bool:
    """Whether `field` of `model`, or its values, were renamed."""
    info = model.model_fields[field]
    words = any(kind.__name__ in VALUES for kind in classes_in(info.annotation))
    return words or info.alias in FIELDS.get(model.__name__, {}).values()


def current_names(model: type[BaseModel], data: Any) -> Any:
    """`data`, a document of `model`, under current names. Where both are given, the current one counts."""
    renames = renames_in(model)
    return _mapped(data, renames, back=False) if renames else data


def first_names(model: type[BaseModel], data: Any) -> Any:
    """Inverse of `current_names`: `data` under names of the first version."""
    renames = renames_in(model)
    return _mapped(data, renames, back=True) if renames else data


def first_names_found(model: type[BaseModel], data: Any) -> dict[Path, str]:
    """Locations of first names in `data`, with a message each."""
    renames = renames_in(model)
    return dict(_found(data, renames, ()))


def present_paths(renames: Renames, first: str, path: str) -> Iterator[str]:
    """Current paths, below `path`, of the fields whose first name is `first`."""
    if first in renames.fields:
        yield f"{path}.{renames.fields[first]}"
    for name, below in renames.blocks.items():
        yield from present_paths(below, first, f"{path}.{name}")


def _mapped(data: Any, renames: Renames, *, back: bool) -> Any:
    if not isinstance(data, dict):
        return [_mapped(item, renames, back=back) for item in data] if isinstance(data, list) else data
    names = _turned(renames.fields) if back else renames.fields
    given = {name: value for name, value in data.items() if names.get(name) not in data}
    return {names.get(name, name): _value(name, value, renames, back=back) for name, value in given.items()}


def _value(name: str, value: Any, renames: Renames, *, back: bool) -> Any:
    if name in renames.blocks:
        return _mapped(value, renames.blocks[name], back=back)
    words = renames.values.get(name, {})
    return _worded(value, _turned(words) if back else words) if words else value


def _worded(value: Any, words: Mapping[str, str]) -> Any:
    """A value, or the keys of a mapping, in other words; of lists each item."""
    if isinstance(value, list):
        return [_worded(item, words) for item in value]
    if isinstance(value, dict):
        return {words.get(key, key): item for key, item in value.items()}
    return words.get(value, value) if isinstance(value, str) else value


def _turned(names: Mapping[str, str]) -> dict[str, str]:
    return {present: first for first, present in names.items()}


def _found(data: Any, renames: Renames, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _found(item, renames, (*path, index))
    for name, value in data.items() if isinstance(data, dict) else ():
        if name in renames.fields:
            yield (*path, name), renamed_message(name, renames.fields[name])
        elif name in renames.blocks:
            yield from _found(value, renames.blocks[name], (*path, name))
        elif isinstance(value, str) and value in renames.values.get(name, {}):
            yield (*path, name), renamed_message(value, renames.values[name][value])
