"""From `spec.model` to a local folder of files: hub snapshots, objects of a store, local folders."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from finetune_api.failures import ModelNotFound, Problem, UnsafeModel
from finetune_api.model import ModelSource
from finetune_trainer.cache import cache_folder
from finetune_trainer.models.hub import snapshot
from finetune_trainer.storage import open_folder, parse_address

WEIGHTS = "*.safetensors"
_WANTED = (WEIGHTS, "*.json", "*.txt", "*.model", "*.jinja")


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
        """SHA-256 over the weight files, in hexadecimal. Reads them all."""
        total = hashlib.sha256()
        for file in sorted(self.folder.glob(WEIGHTS)):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def fetch_model(source: ModelSource, base: Path) -> ModelFiles:
    """Bring the model's files to this machine; a second call finds them in the cache.

    Raises:
        ModelNotFound: the model is not there, or its folder holds no model.
        UnsafeModel: it has only pickled weights.
        PermissionDenied, StorageUnavailable: from the hub or the store.
    """
    scheme, _, rest = source.uri.partition("://")
    if scheme == "hf":
        folder, revision = snapshot(rest, source.revision or None, _WANTED)
    else:
        folder, revision = _from_store(source.uri, base), ""
    _check(folder, source.uri)
    return ModelFiles(source.uri, folder, revision)


def _from_store(uri: str, base: Path) -> Path:
    local = parse_address(uri, base).local
    if local is not None:
        return local
    target = cache_folder("models") / hashlib.sha256(uri.encode()).hexdigest()[:32]
    store = open_folder(uri, base, missing=ModelNotFound)
    for path, size in store.list():
        wanted = any(Path(path).match(pattern) for pattern in _WANTED)
        if wanted and not _has_size(target / path, size):
            store.download(path, target / path)
    return target


def _has_size(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def _check(folder: Path, uri: str) -> None:
    if not (folder / "config.json").is_file():
        problem = Problem(f"no model at {uri}: there is no config.json", "spec.model.uri", _layout_hint(folder))
        raise ModelNotFound(problem)
    if any(folder.glob(WEIGHTS)):
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        hint = "convert it once with save_pretrained() of transformers 5, which writes safetensors"
        raise UnsafeModel(f"{uri} has pickled weights only, which can run code when they are read", hint=hint)
    hint = "a model with pickled weights only is never loaded; save_pretrained() of transformers 5 converts it"
    raise ModelNotFound(f"no weights at {uri}: there is no {WEIGHTS}", where="spec.model.uri", hint=hint)


def _layout_hint(folder: Path) -> str:
    nested = [path.parent.name for path in folder.glob("*/config.json")] if folder.is_dir() else []
    if nested:
        return f"there is one in {', '.join(sorted(nested)[:3])}/: add that to the uri"
    return "give a folder in Hugging Face layout: config.json, *.safetensors and the tokenizer's files"
