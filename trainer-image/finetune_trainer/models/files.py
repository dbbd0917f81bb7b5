"""From `spec.model` to a local folder of files: hub snapshots, stores, folders of this machine, results of jobs."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from finetune_api.failures import ModelNotFound, ModelUnsuitable, PermissionDenied, Problem, SpecInvalid, UnsafeModel
from finetune_api.model import ModelSource
from finetune_api.parent import MOST_BASES, Parent
from finetune_api.uris import PARENT_SCHEME
from finetune_trainer.models.adapters import ADAPTER_CONFIG, base_source, is_adapter
from finetune_trainer.models.copies import copy_files, forget_copies
from finetune_trainer.models.hub import list_files, snapshot
from finetune_trainer.models.results import Result, find_result
from finetune_trainer.storage import Site, check_present, hub_token, on_disk, open_address, parse_address
from finetune_trainer.storage.mounted import OnDisk

WEIGHTS = "*.safetensors"
_SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
_PICKLED = ("*.bin", "*.pt")
_URI = "spec.model.uri"


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine's disk: a whole one, or an adapter over another."""

    uri: str
    """The model as the job names it."""
    folder: Path
    """Config, safetensors weights and tokenizer."""
    revision: str
    """Commit of an `hf://` model, else empty."""
    name: str = ""
    """What an adapter over it calls its base: repository, path on disk, or address in a store."""
    base: "ModelFiles | None" = None
    """What it is an adapter over; None for a whole model."""
    parent_uid: str = field(default="", kw_only=True)
    """UID of the job whose result it is; empty for other models."""
    result: Result | None = field(default=None, kw_only=True, repr=False, compare=False)
    """The result that it is; None for other models."""

    def digest(self) -> str:
        """SHA-256 over the weight files, those of its base included, in hexadecimal. Reads them all, once."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        total = hashlib.sha256()
        if self.base is not None:
            total.update(bytes.fromhex(self.base.digest()))
            total.update(hashlib.sha256((self.folder / ADAPTER_CONFIG).read_bytes()).digest())
        for file in sorted(self.folder.glob(WEIGHTS)):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def fetch_model(source: ModelSource, site: Site, *, weights: bool = True) -> ModelFiles:
    """Bring the model's files to this machine, and those of its base; a second call finds them in the cache.

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
    files = _own_files(source, site, (*_SETTINGS, *((WEIGHTS,) if weights else ())))
    if not is_adapter(files.folder):
        return files
    if files.name in above or len(above) == MOST_BASES:
        message = f"{source.uri} is an adapter over an adapter, more than {MOST_BASES} deep"
        raise ModelUnsuitable(message, where=_URI, hint="merge it once: run a job on it with output.mergeAdapter")
    try:
        base = _fetch(_base_of(files, source, parent, site), site, weights, parent, (*above, files.name))
    except ModelNotFound as error:
        message = f"{files.uri} is an adapter, and its base is gone: {error.problems[0].message}"
        raise ModelNotFound(message, where=_URI, hint=error.problems[0].hint) from error
    return replace(files, base=base)


def _base_of(files: ModelFiles, source: ModelSource, parent: Parent | None, site: Site) -> ModelSource:
    """Where the base of an adapter is, with the Secret that its own job had for it, or else with the adapter's."""
    secret = source.secret_ref or (parent.secret_ref if parent is not None else None)
    base = base_source(files.folder, files.uri, secret, site)
    places = parent.bases if parent is not None else ()
    own = next((place.secret_ref for place in places if _is_within(base.uri, place.uri)), None)
    return base.model_copy(update={"secret_ref": own}) if own is not None else base


def _is_within(uri: str, folder: str) -> bool:
    return f"{uri}/".startswith(f"{folder.rstrip('/')}/")


def _own_files(source: ModelSource, site: Site, patterns: tuple[str, ...]) -> ModelFiles:
    if source.uri.startswith("hf://"):
        return _from_hub(source, patterns, site)
    if source.uri.startswith(PARENT_SCHEME):
        return _from_parent(source, patterns, site)
    address = parse_address(source.uri, site.base)
    check_present(address, site, ModelNotFound, _URI)
    result = find_result(address, site, source.secret_ref)
    if result is not None:
        return _from_result(source.uri, result, patterns)
    here = on_disk(address, site)
    store = open_address(address, site, source.secret_ref, missing=ModelNotFound)
    if here is not None:
        _check_links(here, source.uri)
        _check(_names(here.path), source.uri)
        return ModelFiles(source.uri, here.path, "", _plain(str(address)))
    listed = [path for path, _ in store.list()]
    _check(listed, source.uri)
    folder = copy_files(store, [path for path in listed if _matches(path, patterns)], listed)
    return ModelFiles(source.uri, folder, "", str(address))


def _from_parent(source: ModelSource, patterns: tuple[str, ...], site: Site) -> ModelFiles:
    parent = site.parent(source.uri)
    if parent is None:
        message = f"{source.uri} is the result of a job in a cluster, which only its operator can find"
        raise SpecInvalid(message, where=_URI, hint="name its output instead: s3://..., or file://OUTPUT")
    address = parse_address(parent.output, site.base)
    check_present(address, site, ModelNotFound, _URI)
    result = find_result(address, site, source.secret_ref or parent.secret_ref, parent.digest)
    if result is None:
        raise ModelNotFound(f"the result of {parent.name} is gone: nothing at {parent.output}", where=_URI,
                            hint="run that job again, or name another model")  # fmt: skip
    return _from_result(source.uri, result, patterns)


def _from_result(uri: str, result: Result, patterns: tuple[str, ...]) -> ModelFiles:
    """The model in the output of a job, each file of it as its manifest says."""
    entries = {path: entry for path, entry in result.model_files().items() if _matches(path, patterns)}
    _check(result.model_files(), uri)
    if result.here is not None:
        folder = result.here.path
        _check_links(result.here, uri)
        result.check_nothing_else(_names(folder))
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
    """An address as other tools take it: a path on this machine without its scheme."""
    return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def _from_hub(source: ModelSource, patterns: tuple[str, ...], site: Site) -> ModelFiles:
    repository, revision = source.uri.removeprefix("hf://"), source.revision or None
    token = hub_token(source.secret_ref, site)
    folder, commit = snapshot(repository, revision, patterns, token)
    _check(_names(folder) if WEIGHTS in patterns else list_files(repository, revision, token), source.uri)
    return ModelFiles(source.uri, folder, commit, repository)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(PurePosixPath(path).match(pattern) for pattern in patterns)


def _names(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in _files(folder)] if folder.is_dir() else []


def _files(folder: Path) -> Iterator[Path]:
    """The files of a model, and of a folder in it that may be one."""
    yield from (file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.is_file())


def _check_links(here: OnDisk, uri: str) -> None:
    """Refuse links that lead out of a volume: the libraries that load the model would follow them."""
    leading_out = [name for name in _names(here.path) if here.leads_out(name)]
    if leading_out:
        message = f"{uri}: {leading_out[0]} leads out of its volume"
        raise PermissionDenied(message, where=_URI, hint="put the file itself there instead of a link to it")


def _check(names: Iterable[str], uri: str) -> None:
    """Make sure that a list of files, by their paths in the model's folder, is a model."""
    top = [name for name in names if "/" not in name]
    if "config.json" not in top:
        raise ModelNotFound(Problem(f"no model at {uri}: there is no config.json", _URI, _layout_hint(names)))
    if any(_matches(name, [WEIGHTS]) for name in top):
        return
    if any(_matches(name, _PICKLED) for name in top):
        hint = "convert it once with save_pretrained() of transformers 5, which writes safetensors"
        raise UnsafeModel(f"{uri} has pickled weights only, which can run code when they are read", hint=hint)
    hint = "a model with pickled weights only is never loaded; save_pretrained() of transformers 5 converts it"
    raise ModelNotFound(f"no weights at {uri}: there is no {WEIGHTS}", where=_URI, hint=hint)


def _layout_hint(names: Iterable[str]) -> str:
    nested = sorted(
        name.removesuffix("/config.json") for name in names if name.count("/") == 1 and name.endswith("/config.json")
    )
    if nested:
        return f"there is one in {', '.join(nested[:3])}/: add that to the uri"
    return "give a folder in Hugging Face layout: config.json, *.safetensors and the tokenizer's files"
