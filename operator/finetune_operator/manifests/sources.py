"""What a spec names in its own namespace: Secrets, ConfigMaps and persistent volume claims."""

from finetune_api.data import DataSource
from finetune_api.job import Spec
from finetune_api.parent import Parent
from finetune_api.uris import is_claim, is_config_map, mounted_claim, mounted_config_map


def secrets(spec: Spec, parent: Parent | None = None) -> list[str]:
    """Names of the Secrets, sorted."""
    model = spec.model.secret_ref or (parent.secret_ref if parent is not None else None)
    predicted = spec.predict.secret_ref if spec.predict is not None else None
    references = [model, *(source.secret_ref for source in _data_sources(spec)), predicted, spec.output.secret_ref]
    return sorted({reference.name for reference in references if reference is not None})


def config_maps(spec: Spec) -> list[str]:
    """Names of the ConfigMaps, sorted."""
    found = (mounted_config_map(uri) for uri in _read(spec) if is_config_map(uri))
    return sorted({key.name for key in found if key is not None})


def claims(spec: Spec, parent: Parent | None = None) -> dict[str, bool]:
    """Names of the claims, sorted, and whether the job writes to them."""
    written = _claims([spec.output.uri])
    read = _claims([*_read(spec), *([parent.output] if parent is not None else [])])
    return {name: name in written for name in sorted(read | written)}


def _claims(uris: list[str]) -> set[str]:
    found = (mounted_claim(uri) for uri in uris if is_claim(uri))
    return {path.claim for path in found if path is not None}


def _data_sources(spec: Spec) -> list[DataSource]:
    return [*spec.data.train, *spec.data.validation, *spec.data.test, *spec.evaluation.retention.data]


def _read(spec: Spec) -> list[str]:
    """Addresses that the trainer reads from."""
    predicted = [spec.predict.input] if spec.predict is not None else []
    return [spec.model.uri, *(source.uri for source in _data_sources(spec)), *predicted]
