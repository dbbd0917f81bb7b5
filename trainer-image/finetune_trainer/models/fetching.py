"""Download of `spec.model`: the model's files, and those of its bases."""

from dataclasses import replace

from finetune_api.failures import ModelNotFound, ModelUnsuitable
from finetune_api.model import ModelSource
from finetune_api.parent import MOST_BASES, Parent
from finetune_trainer.models.adapters import base_source, is_adapter
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.layout import MODEL_URI, SETTINGS, WEIGHTS
from finetune_trainer.models.origins import own_files
from finetune_trainer.storage import Site


def fetch_model(source: ModelSource, site: Site, *, weights: bool = True) -> ModelFiles:
    """Download the model and its bases; a second call finds them in the cache.

    `source` may name a result of this project, by its job, its output folder or its `model/` folder; its files are
    verified by its manifest. Without `weights` they are not fetched, only looked for: enough for config and tokenizer.

    Raises:
        ModelNotFound: the model or its base is not there, or its folder holds no model.
        ModelChanged: a result is no longer what its manifest says.
        ModelUnsuitable: an adapter is of an unknown kind, or over too many others.
        UnsafeModel: it has only pickled weights.
        PermissionDenied, StorageUnavailable: from the hub, the store or a volume.
    """
    return _fetch(source, site, weights, site.parent(source.uri), above=())


def _fetch(source: ModelSource, site: Site, weights: bool, parent: Parent | None, above: tuple[str, ...]) -> ModelFiles:
    files = own_files(source, site, (*SETTINGS, *((WEIGHTS,) if weights else ())))
    if not is_adapter(files.folder):
        return files
    if files.name in above or len(above) == MOST_BASES:
        message = f"{source.uri} is an adapter over an adapter, more than {MOST_BASES} deep"
        raise ModelUnsuitable(message, where=MODEL_URI, hint="merge it once: run a job on it with output.mergeAdapter")
    try:
        base = _fetch(_base_of(files, source, parent, site), site, weights, parent, (*above, files.name))
    except ModelNotFound as error:
        message = f"{files.uri} is an adapter, and its base is gone: {error.problems[0].message}"
        raise ModelNotFound(message, where=MODEL_URI, hint=error.problems[0].hint) from error
    return replace(files, base=base)


def _base_of(files: ModelFiles, source: ModelSource, parent: Parent | None, site: Site) -> ModelSource:
    """Source of an adapter's base, with the Secret that its own job had for it, or else the adapter's."""
    secret = source.secret_ref or (parent.secret_ref if parent is not None else None)
    base = base_source(files.folder, files.uri, secret, site)
    places = parent.bases if parent is not None else ()
    own = next((place.secret_ref for place in places if _is_within(base.uri, place.uri)), None)
    return base.model_copy(update={"secret_ref": own}) if own is not None else base


def _is_within(uri: str, folder: str) -> bool:
    return f"{uri}/".startswith(f"{folder.rstrip('/')}/")
