"""What `pvc://` and `configmap://` addresses name. Pure: the operator mounts by it, the trainer finds files by it."""

import re
from dataclasses import dataclass

from finetune_api.base import Rule

CLAIM_SCHEME = "pvc://"
CONFIG_MAP_SCHEME = "configmap://"

_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_CLAIM = rf"^pvc://{_NAME}(/.*)?$"
_CONFIG_MAP = rf"^configmap://{_NAME}/[-._a-zA-Z0-9]{{1,253}}$"
_UPWARDS = r"/\.\.?(/|$)"


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
    if not uri.startswith(CLAIM_SCHEME):
        return None
    if not is_claim(uri):
        raise ValueError(uri)
    claim, _, path = uri.removeprefix(CLAIM_SCHEME).partition("/")
    return ClaimPath(claim, path.strip("/"))


def mounted_config_map(uri: str) -> ConfigMapKey | None:
    """The ConfigMap and key of a `configmap://name/key` address; None for other schemes.

    Raises `ValueError` for a `configmap://` address of the wrong shape, which the API never lets through.
    """
    if not uri.startswith(CONFIG_MAP_SCHEME):
        return None
    if not is_config_map(uri):
        raise ValueError(uri)
    name, _, key = uri.removeprefix(CONFIG_MAP_SCHEME).partition("/")
    return ConfigMapKey(name, key)


def is_claim(uri: str) -> bool:
    """Whether this is a `pvc://claim/path` address that stays inside its claim."""
    return bool(re.fullmatch(_CLAIM, uri)) and not re.search(_UPWARDS, uri)


def is_config_map(uri: str) -> bool:
    """Whether this is a `configmap://name/key` address."""
    return bool(re.fullmatch(_CONFIG_MAP, uri)) and not re.search(_UPWARDS, uri)


def _cel(pattern: str) -> str:
    return pattern.replace("\\", "\\\\")


CLAIM_RULE = Rule(
    cel=f"!self.uri.startsWith('pvc://') || (self.uri.matches('{_cel(_CLAIM)}') "
    f"&& !self.uri.matches('{_cel(_UPWARDS)}'))",
    holds=lambda holder: not holder.uri.startswith(CLAIM_SCHEME) or is_claim(holder.uri),
    field="uri",
    message="write pvc://CLAIM/PATH with the name of a claim in the job's namespace and a path without . and .. in it",
)
"""For models with a field `uri` that may be a claim."""

CONFIG_MAP_RULE = Rule(
    cel=f"!self.uri.startsWith('configmap://') || (self.uri.matches('{_cel(_CONFIG_MAP)}') "
    f"&& !self.uri.matches('{_cel(_UPWARDS)}'))",
    holds=lambda holder: not holder.uri.startswith(CONFIG_MAP_SCHEME) or is_config_map(holder.uri),
    field="uri",
    message="write configmap://NAME/KEY with the name of a ConfigMap in the job's namespace and one of its keys",
)
"""For models with a field `uri` that may be a ConfigMap."""
