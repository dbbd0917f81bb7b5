"""Parsing of `pvc://`, `configmap://`, `finetunejob://` and `hf://datasets/` addresses. Pure.

The operator mounts by it, the trainer finds files by it.
"""

import re
from dataclasses import dataclass

from finetune_api.base import Rule

CLAIM_SCHEME = "pvc://"
CONFIG_MAP_SCHEME = "configmap://"
PARENT_SCHEME = "finetunejob://"
DATA_SET_SCHEME = "hf://datasets/"

_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_CLAIM = rf"^pvc://{_NAME}(/.*)?$"
_CONFIG_MAP = rf"^configmap://{_NAME}/[-._a-zA-Z0-9]{{1,253}}$"
_PARENT = r"^finetunejob://[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_UPWARDS = r"/\.\.?(/|$)"


@dataclass(frozen=True)
class HubDataSet:
    """A data set on the Hugging Face hub, or one file of it."""

    repository: str
    """`owner/name`; old data sets have no owner."""
    file: str
    """Path of the file in it; empty for the whole data set."""


@dataclass(frozen=True)
class ClaimPath:
    """A file or folder in a persistent volume claim."""

    claim: str
    """Name of the claim."""
    path: str
    """Path in it without slashes at its ends; empty is the claim's root."""


@dataclass(frozen=True)
class ConfigMapKey:
    """A key of a ConfigMap."""

    name: str
    """Name of the ConfigMap."""
    key: str
    """Key in it, which is the name of the file."""


def mounted_claim(uri: str) -> ClaimPath | None:
    """The claim and path of a `pvc://claim/path` address; None for other schemes.

    Raises `ValueError` for a `pvc://` address of the wrong shape, which the API never lets through.
    """
    parts = _parts(uri, CLAIM_SCHEME, _CLAIM)
    return ClaimPath(parts[0], parts[1].strip("/")) if parts else None


def mounted_config_map(uri: str) -> ConfigMapKey | None:
    """The ConfigMap and key of a `configmap://name/key` address; None for other schemes.

    Raises `ValueError` for a `configmap://` address of the wrong shape, which the API never lets through.
    """
    parts = _parts(uri, CONFIG_MAP_SCHEME, _CONFIG_MAP)
    return ConfigMapKey(*parts) if parts else None


def hub_data_set(uri: str) -> HubDataSet | None:
    """The data set, and the file in it, of an `hf://datasets/owner/name[/file]` address; None for other addresses."""
    if not uri.startswith(DATA_SET_SCHEME):
        return None
    parts = [part for part in uri.removeprefix(DATA_SET_SCHEME).split("/") if part]
    return HubDataSet("/".join(parts[:2]), "/".join(parts[2:]))


def parent_job(uri: str) -> str:
    """The name of the job in a `finetunejob://name` address; empty for other schemes.

    Raises `ValueError` for a `finetunejob://` address of the wrong shape, which the API never lets through.
    """
    parts = _parts(uri, PARENT_SCHEME, _PARENT)
    return parts[0] if parts else ""


def is_claim(uri: str) -> bool:
    """Whether this is a `pvc://claim/path` address that stays inside its claim."""
    return _fits(uri, _CLAIM)


def is_config_map(uri: str) -> bool:
    """Whether this is a `configmap://name/key` address."""
    return _fits(uri, _CONFIG_MAP)


def _parts(uri: str, scheme: str, pattern: str) -> tuple[str, str] | None:
    """The parts before and after the first slash of an address; None for other schemes."""
    if not uri.startswith(scheme):
        return None
    if not _fits(uri, pattern):
        raise ValueError(uri)
    name, _, rest = uri.removeprefix(scheme).partition("/")
    return name, rest


def _fits(uri: str, pattern: str) -> bool:
    return bool(re.fullmatch(pattern, uri)) and not re.search(_UPWARDS, uri)


def _rule(scheme: str, pattern: str, message: str, name: str = "uri") -> Rule:
    """Rule that an address of this scheme in the field `name` is well-formed."""
    field = f"self.{name}"
    shape, upwards = (text.replace("\\", "\\\\") for text in (pattern, _UPWARDS))
    return Rule(
        cel=f"!{field}.startsWith('{scheme}') || ({field}.matches('{shape}') && !{field}.matches('{upwards}'))",
        holds=lambda holder: not getattr(holder, name).startswith(scheme) or _fits(getattr(holder, name), pattern),
        field=name,
        message=message,
    )


CLAIM_RULE = _rule(
    CLAIM_SCHEME,
    _CLAIM,
    "write pvc://CLAIM/PATH with the name of a claim in the job's namespace and a path without . and .. in it",
)
"""For models with a field `uri` that may be a claim."""

CONFIG_MAP_RULE = _rule(
    CONFIG_MAP_SCHEME,
    _CONFIG_MAP,
    "write configmap://NAME/KEY with the name of a ConfigMap in the job's namespace and one of its keys",
)
"""For models with a field `uri` that may be a ConfigMap."""

PARENT_RULE = _rule(
    PARENT_SCHEME,
    _PARENT,
    "write finetunejob://NAME with the name of a FineTuneJob in the job's own namespace",
)
"""For models with a field `uri` that may be another job."""

INPUT_RULES = (
    _rule(CLAIM_SCHEME, _CLAIM, "rows in a claim are named pvc://CLAIM/PATH; use a path without . and ..", "input"),
    _rule(CONFIG_MAP_SCHEME, _CONFIG_MAP, "rows in a ConfigMap are named configmap://NAME/KEY; name both", "input"),
)
"""For models with a field `input` that may be either."""
