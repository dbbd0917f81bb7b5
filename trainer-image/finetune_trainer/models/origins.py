"""Model origins: the hub, object stores, local folders, results of jobs."""

from pathlib import Path
from urllib.parse import unquote

from finetune_api.failures import ModelNotFound, SpecInvalid, StorageUnavailable
from finetune_api.model import ModelSource
from finetune_api.uris import PARENT_SCHEME
from finetune_trainer.models.copies import copy_files, forget_copies
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.hub import list_files, snapshot
from finetune_trainer.models.layout import (
    MODEL_URI,
    WEIGHTS,
    check_layout,
    check_links,
    check_no_pointer,
    matches,
    names_in,
)
from finetune_trainer.models.results import Result, find_result
from finetune_trainer.storage import Site, check_present, find_address, hub_token, on_disk, open_address, parse_address


def own_files(source: ModelSource, site: Site, patterns: tuple[str, ...]) -> ModelFiles:
    """Download the files of one model that match `patterns`, whatever its origin.

    Raises as `fetch_model` does.
    """
    if source.uri.startswith("hf://"):
        return _from_hub(source, patterns, site)
    if source.uri.startswith(PARENT_SCHEME):
        return _from_parent(source, patterns, site)
    address = find_address(source.uri, site)
    check_present(address, site, ModelNotFound, MODEL_URI)
    result = find_result(address, site, source.secret_ref)
    if result is not None:
        return _from_result(source.uri, result, patterns)
    here = on_disk(address, site)
    store = open_address(address, site, source.secret_ref, missing=ModelNotFound)
    if here is not None:
        check_links(here, source.uri)
        check_layout(names_in(here.path), source.uri)
        check_no_pointer(here.path, source.uri)
        return ModelFiles(source.uri, here.path, "", _plain(str(address)))
    listed = [path for path, _ in store.list()]
    check_layout(listed, source.uri)
    folder = copy_files(store, [path for path in listed if matches(path, patterns)], listed)
    return ModelFiles(source.uri, folder, "", str(address))


def _from_parent(source: ModelSource, patterns: tuple[str, ...], site: Site) -> ModelFiles:
    parent = site.parent(source.uri)
    if parent is None:
        message = f"{source.uri} is the result of a job in a cluster, which only its operator can find"
        raise SpecInvalid(message, where=MODEL_URI, hint="name its output instead: s3://..., or file://OUTPUT")
    address = parse_address(parent.output, site.base)
    check_present(address, site, ModelNotFound, MODEL_URI)
    result = find_result(address, site, source.secret_ref or parent.secret_ref, parent.digest)
    if result is None:
        raise ModelNotFound(f"the result of {parent.name} is gone: nothing at {parent.output}", where=MODEL_URI,
                            hint="run that job again, or name another model")  # fmt: skip
    return _from_result(source.uri, result, patterns)


def _from_result(uri: str, result: Result, patterns: tuple[str, ...]) -> ModelFiles:
    """The model in the output of a job, every file verified against its manifest."""
    entries = {path: entry for path, entry in result.model_files().items() if matches(path, patterns)}
    check_layout(result.model_files(), uri)
    if result.here is not None:
        folder = result.here.path
        check_links(result.here, uri)
        result.check_nothing_else(names_in(folder))
        result.check_sizes(folder)
    else:
        folder = copy_files(result.model, entries, entries)
    wrong = result.differing(folder, entries)
    if wrong and result.here is None:  # the cache may be damaged, not the result
        forget_copies(folder, wrong)
        copy_files(result.model, wrong, entries)
        wrong = result.differing(folder, {path: entries[path] for path in wrong})
        forget_copies(folder, wrong)
    if wrong:
        raise result.changed(f"model/{wrong[0]} is missing, cut or changed")
    return ModelFiles(uri, folder, "", _plain(result.model.uri()), parent_uid=result.manifest.uid, result=result)


def _plain(uri: str) -> str:
    """An address for other tools: a local path without its scheme."""
    return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def _from_hub(source: ModelSource, patterns: tuple[str, ...], site: Site) -> ModelFiles:
    repository, revision = source.uri.removeprefix("hf://"), source.revision or None
    token = hub_token(source.secret_ref, site)
    folder, commit = snapshot(repository, revision, patterns, token)
    check_layout(names_in(folder) if WEIGHTS in patterns else _names(repository, revision, token, folder), source.uri)
    return ModelFiles(source.uri, folder, commit, repository)


def _names(repository: str, revision: str | None, token: str | None, folder: Path) -> list[str]:
    """Names of all files on the hub; offline, of those in the cache if the weights are there."""
    try:
        return list_files(repository, revision, token)
    except StorageUnavailable:
        cached = names_in(folder)
        if not any(matches(name, [WEIGHTS]) for name in cached):
            raise
        return cached
