"""PEFT adapter folders: kind and base by `adapter_config.json`."""

import json
from pathlib import Path
from typing import Any

from finetune_api.base import SecretReference
from finetune_api.failures import ModelUnsuitable, PermissionDenied, UnsafeModel
from finetune_api.model import ModelSource
from finetune_trainer.storage import Site
from finetune_trainer.storage.credentials import store_settings

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MERGEABLE = frozenset({"LORA", "IA3"})
"""Kinds of PEFT that can become part of their base's weights."""
VIRTUAL_TOKENS = frozenset({"PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"})
"""Kinds that put learned tokens before the input."""
_KNOWN = MERGEABLE | VIRTUAL_TOKENS | {"BOTTLENECK"}
_WHERE = "spec.model.uri"


def is_adapter(folder: Path) -> bool:
    """Whether a model folder holds an adapter."""
    return (folder / ADAPTER_CONFIG).is_file()


def adapter_kind(folder: Path, uri: str) -> str:
    """PEFT's name of its type. Raises `ModelUnsuitable` for types that this project does not make."""
    kind = str(_settings(folder, uri).get("peft_type", ""))
    if kind not in _KNOWN:
        message = f"{uri} is an adapter of the kind {kind or 'that it does not name'}, which this version can't load"
        raise ModelUnsuitable(message, where=_WHERE, hint=f"use one of {', '.join(sorted(_KNOWN))}, or a whole model")
    return kind


def base_source(folder: Path, uri: str, secret: SecretReference | None, site: Site) -> ModelSource:
    """Model source of the base of the adapter in `folder`, with `secret` where it has credentials for its store.

    Raises `ModelUnsuitable` for an adapter that names no base or is of an unknown kind, `UnsafeModel` for one with
    pickled weights only.
    """
    adapter_kind(folder, uri)
    settings = _settings(folder, uri)
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(name, str) or not name:
        message = f"{uri} is an adapter that does not name its base model"
        raise ModelUnsuitable(message, where=_WHERE, hint=_BASE_HINT)
    scheme = "file" if name.startswith("/") else name.partition("://")[0] if "://" in name else "hf"
    try:
        return ModelSource(
            uri=name if "://" in name else f"{scheme}://{name}",
            revision=str(revision or "") if scheme == "hf" else "",
            secret_ref=_if_fitting(secret, scheme, site),
        )
    except ValueError as error:
        message, hint = f"{uri} is an adapter, and its base {name[:200]!r} is no address of a model", _BASE_HINT
        raise ModelUnsuitable(message, where=_WHERE, hint=hint) from error


_BASE_HINT = f"fix base_model_name_or_path in {ADAPTER_CONFIG}"


def check_weights(folder: Path, uri: str) -> None:
    """Raise `UnsafeModel` for an adapter whose weights are not safetensors."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        hint = "write the adapter with save_pretrained() of PEFT, which makes that file"
        raise UnsafeModel(f"{uri} has no {ADAPTER_WEIGHTS}; pickled weights are never read", where=_WHERE, hint=hint)


def _settings(folder: Path, uri: str) -> dict[str, Any]:
    try:
        settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        hint = "get the adapter again"
        raise ModelUnsuitable(f"{uri}: {ADAPTER_CONFIG} is no JSON", where=_WHERE, hint=hint) from error
    return settings if isinstance(settings, dict) else {}


def _if_fitting(secret: SecretReference | None, scheme: str, site: Site) -> SecretReference | None:
    """The Secret, unless it holds no credentials for such a store: adapter and base may be in different ones."""
    if secret is None or site.mounts is None or scheme not in ("hf", "s3", "gs", "az"):
        return None
    try:
        store_settings(scheme, secret, site)
    except PermissionDenied:
        return None
    return secret
