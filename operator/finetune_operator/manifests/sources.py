"""Secrets, ConfigMaps and persistent volume claims that a spec references."""

from collections.abc import Iterable, Sequence

from finetune_api.addresses import Use, addresses
from finetune_api.parent import Parent
from finetune_api.spec import Spec
from finetune_api.uris import is_claim, is_config_map, mounted_claim, mounted_config_map, parent_job


def secrets(spec: Spec, parents: Sequence[Parent] = ()) -> list[str]:
    """Names of the Secrets, sorted. A dependency's result uses its own, unless the job names another."""
    theirs = {parent.name: parent.secret_ref for parent in parents}
    references = [address.secret_ref or theirs.get(parent_job(address.uri)) for address in addresses(spec)]
    references += [base.secret_ref for parent in parents for base in parent.bases]
    return sorted({reference.name for reference in references if reference is not None})


def config_maps(spec: Spec) -> list[str]:
    """Names of the ConfigMaps, sorted."""
    found = (mounted_config_map(address.uri) for address in addresses(spec) if is_config_map(address.uri))
    return sorted({key.name for key in found if key is not None})


def claims(spec: Spec, parents: Sequence[Parent] = ()) -> dict[str, bool]:
    """Names of the claims, sorted, and whether the job writes to each."""
    written = _claims(address.uri for address in addresses(spec) if address.use is Use.OUTPUT)
    read = _claims(address.uri for address in addresses(spec))
    read |= _claims(uri for parent in parents for uri in (parent.output, *(base.uri for base in parent.bases)))
    return {name: name in written for name in sorted(read)}


def _claims(uris: Iterable[str]) -> set[str]:
    found = (mounted_claim(uri) for uri in uris if is_claim(uri))
    return {path.claim for path in found if path is not None}
