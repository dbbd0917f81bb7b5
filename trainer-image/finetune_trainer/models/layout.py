"""Files that make up a model folder."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from finetune_api.failures import ModelNotFound, PermissionDenied, Problem, UnsafeModel
from finetune_trainer.storage.mounted import OnDisk

WEIGHTS = "*.safetensors"
SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Config and tokenizer."""
MODEL_URI = "spec.model.uri"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
_POINTER = b"version https://git-lfs"
_PICKLED = ("*.bin", "*.pt")


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path matches the wanted patterns."""
    return any(PurePosixPath(path).match(pattern) for pattern in patterns)


def names_in(folder: Path) -> list[str]:
    """Paths of the model files in a folder; empty without such a folder."""
    return [file.relative_to(folder).as_posix() for file in _files(folder)] if folder.is_dir() else []


def _files(folder: Path) -> Iterator[Path]:
    """The files in a model folder, and in the folders directly below."""
    yield from (file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.is_file())


def check_links(here: OnDisk, uri: str) -> None:
    """Refuse symbolic links that lead out of a volume: the loading libraries would follow them.

    Raises `PermissionDenied`.
    """
    leading_out = [name for name in names_in(here.path) if here.leads_out(name)]
    if leading_out:
        message = f"{uri}: {leading_out[0]} leads out of its volume"
        raise PermissionDenied(message, where=MODEL_URI, hint="put the file itself there instead of a link to it")


def check_layout(names: Iterable[str], uri: str) -> None:
    """Check that a list of paths in a model's folder is a complete model.

    Raises `ModelNotFound`, and `UnsafeModel` where its weights are pickled.
    """
    top = [name for name in names if "/" not in name]
    if "config.json" not in top:
        raise ModelNotFound(Problem(f"no model at {uri}: there is no config.json", MODEL_URI, _layout_hint(names)))
    if any(matches(name, [WEIGHTS]) for name in top):
        _check_shards(top, uri)
        return
    if any(matches(name, _PICKLED) for name in top):
        hint = "convert it once with save_pretrained() of transformers 5, which writes safetensors"
        raise UnsafeModel(f"{uri} has pickled weights only, which can run code when they are read", hint=hint)
    hint = "a model with pickled weights only is never loaded; save_pretrained() of transformers 5 converts it"
    raise ModelNotFound(f"no weights at {uri}: there is no {WEIGHTS}", where=MODEL_URI, hint=hint)


def check_no_pointer(folder: Path, uri: str) -> None:
    """Raise `ModelNotFound` for weights that are Git LFS pointers."""
    for file in folder.glob(WEIGHTS):
        with file.open("rb") as content:
            if content.read(len(_POINTER)) == _POINTER:
                message = f"{uri}: {file.name} is a Git LFS pointer, not the weights"
                raise ModelNotFound(message, where=MODEL_URI, hint="fetch the weights: git lfs pull")


def _check_shards(names: Iterable[str], uri: str) -> None:
    """Raise `ModelNotFound` where a shard such as `model-00001-of-00003.safetensors` is missing."""
    shards = [found for name in names if (found := _SHARD.fullmatch(name))]
    for stem, count in dict.fromkeys((found[1], found[3]) for found in shards):
        have = {int(found[2]) for found in shards if (found[1], found[3]) == (stem, count)}
        lacking = sorted(set(range(1, int(count) + 1)) - have)
        if lacking:
            name = f"{stem}-{lacking[0]:05}-of-{count}.safetensors"
            message = f"{uri} lacks {name}, one of {int(count)} files of its weights"
            raise ModelNotFound(message, where=MODEL_URI, hint="copy or download the model again")


def _layout_hint(names: Iterable[str]) -> str:
    top = [name for name in names if "/" not in name]
    if "adapter_config.json" in top:
        return (
            "this is an adapter of PEFT alone: merge it into its base (merge_and_unload, save_pretrained) and name that"
        )
    if any(matches(name, ["*.gguf"]) for name in top):
        return "GGUF is for inference: name the model in Hugging Face layout that it was made from"
    nested = sorted(
        name.removesuffix("/config.json") for name in names if name.count("/") == 1 and name.endswith("/config.json")
    )
    if nested:
        return f"there is one in {', '.join(nested[:3])}/: add that to the uri"
    return "give a folder in Hugging Face layout: config.json, *.safetensors and the tokenizer's files"
