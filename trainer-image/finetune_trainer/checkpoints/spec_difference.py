"""Differences between two specs that make them different trainings; length, URIs and hardware aside. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MAY_DIFFER = (
    "checkpoints",
    "compute",
    "data.test[].revision",
    "data.test[].uri",
    "data.train[].revision",
    "data.train[].uri",
    "data.validation[].revision",
    "data.validation[].uri",
    "evaluation.gates",
    "evaluation.retention.data[].revision",
    "evaluation.retention.data[].uri",
    "model.revision",
    "model.uri",
    "output",
    "predict",
    "runPolicy",
    "training.activationCheckpointing",
    "training.attnImplementation",
    "training.packing",
    "training.perDeviceBatchSize",
    "training.epochs",
    "training.maxSteps",
)
"""Fields, with all below them, of which a run that continues another may have its own. Places of rows and of the model
are here, since digests of what is there are compared."""
_SECRET = re.compile(r"\.secretRef\b")
_INDEX = re.compile(r"\[\d+]")
_LONGEST = 60


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield field and both values of each such difference; both specs are JSON data."""
    before, after = dict(_leaves(there)), dict(_leaves(now))
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path) and not _may_differ(path):
            yield f"spec.{path}", _shown(before.get(path)), _shown(after.get(path))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    elif value not in (None, {}, []):
        yield path, value


def _may_differ(path: str) -> bool:
    anywhere = _INDEX.sub("[]", path)
    return bool(_SECRET.search(path)) or any(
        anywhere == field or anywhere.startswith((f"{field}.", f"{field}[")) for field in MAY_DIFFER
    )


def _shown(value: object) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
