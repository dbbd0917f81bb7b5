"""What a spec names in its own namespace: Secrets, ConfigMaps and persistent volume claims."""

from collections.abc import Iterable

from finetune_api.addresses import Use, addresses
from finetune_api.job import Spec
from finetune_api.parent import Parent
from finetune_api.uris import is_claim, is_config_map, mounted_claim, mounted_config_map


def secrets(spec: Spec, parent: Parent | None = None) -> list[str]:
    """Names of the Secrets, sorted. A parent's own opens the model, unless the job names another."""
    inherited = parent.secret_ref if parent is not None and spec.model.secret_ref is None else None
    references = [inherited, *(address.secret_ref for address in addresses(spec))]
    return sorted({reference.name for reference in references if reference is not None})


def config_maps(spec: Spec) -> list[str]:
    """Names of the ConfigMaps, sorted."""
    found = (mounted_config_map(address.uri) for address in addresses(spec) if is_config_map(address.uri))
    return sorted({key.name for key in found if key is not None})


def claims(spec: Spec, parent: Parent | None = None) -> dict[str, bool]:
    """Names of the claims, sorted, and whether the job writes to them."""
    written = _claims(address.uri for address in addresses(spec) if address.use is Use.OUTPUT)
    read = _claims(address.uri for address in addresses(spec))
    read |= _claims([parent.output] if parent is not None else [])
    return {name: name in written for name in sorted(read)}


def _claims(uris: Iterable[str]) -> set[str]:
    found = (mounted_claim(uri) for uri in uris if is_claim(uri))
    return {path.claim for path in found if path is not None}
