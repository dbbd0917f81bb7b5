"""From `spec.model` to a local folder of files: hub snapshots, objects of a store, folders of this machine."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from finetune_api.failures import ModelNotFound, PermissionDenied, Problem, UnsafeModel
from finetune_api.model import ModelSource
from finetune_trainer.cache import cache_folder, keep
from finetune_trainer.models.hub import list_files, snapshot
from finetune_trainer.storage import Folder, Site, check_present, hub_token, on_disk, open_address, parse_address
from finetune_trainer.storage.mounted import OnDisk

WEIGHTS = "*.safetensors"
_SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
_PICKLED = ("*.bin", "*.pt")
_VERSIONS = ".versions"
_URI = "spec.model.uri"


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine's disk."""

    uri: str
    """The model as the job names it."""
    folder: Path
    """Config, safetensors weights and tokenizer."""
    revision: str
    """Commit of an `hf://` model, else empty."""

    def digest(self) -> str:
        """SHA-256 over the weight files, in hexadecimal. Reads them all, once."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        total = hashlib.sha256()
        for file in sorted(self.folder.glob(WEIGHTS)):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def fetch_model(source: ModelSource, site: Site, *, weights: bool = True) -> ModelFiles:
    """Bring the model's files to this machine; a second call finds them in the cache.

    Without `weights` they are not fetched, only looked for: enough for config and tokenizer.

    Raises:
        ModelNotFound: the model is not there, or its folder holds no model.
        UnsafeModel: it has only pickled weights.
        PermissionDenied, StorageUnavailable: from the hub, the store or a volume.
    """
    patterns = (*_SETTINGS, *((WEIGHTS,) if weights else ()))
    if source.uri.startswith("hf://"):
        return _from_hub(source, patterns, site)
    address = parse_address(source.uri, site.base)
    check_present(address, site, ModelNotFound, _URI)
    here = on_disk(address, site)
    store = open_address(address, site, source.secret_ref, missing=ModelNotFound)
    if here is not None:
        _check_links(here, source.uri)
        _check(_names(here.path), source.uri)
        return ModelFiles(source.uri, here.path, "")
    listed = [path for path, _ in store.list()]
    _check(listed, source.uri)
    return ModelFiles(source.uri, _copy(store, [path for path in listed if _matches(path, patterns)]), "")


def _from_hub(source: ModelSource, patterns: tuple[str, ...], site: Site) -> ModelFiles:
    repository, revision = source.uri.removeprefix("hf://"), source.revision or None
    token = hub_token(source.secret_ref, site)
    folder, commit = snapshot(repository, revision, patterns, token)
    _check(_names(folder) if WEIGHTS in patterns else list_files(repository, revision, token), source.uri)
    return ModelFiles(source.uri, folder, commit)


def _copy(store: Folder, paths: Iterable[str]) -> Path:
    """Copy files of a store into the cache, those that have changed since the last time."""
    target = cache_folder("models") / hashlib.sha256(store.uri().encode()).hexdigest()[:32]
    known = _read_versions(target / _VERSIONS)
    for path in paths:
        version = store.version(path)
        if known.get(path) == version and (target / path).is_file():
            continue
        store.download(path, target / path)
        known[path] = version
        keep(target / _VERSIONS, partial(_write_versions, known))
    return target


def _read_versions(file: Path) -> dict[str, str]:
    """Version of each file of a copy; empty where nothing is known of it."""
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}


def _write_versions(versions: dict[str, str], file: Path) -> None:
    file.write_text(json.dumps(versions))


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
