"""Sources of a merge: downloaded, verified and checked to be of one kind."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from finetune_api.failures import JobFailure, ModelUnsuitable, SpecInvalid
from finetune_api.inference import InferenceSettings
from finetune_api.manifest import MergedResult
from finetune_api.merge import Merge, MergeSource
from finetune_api.model import ModelSource
from finetune_trainer.models.adapters import MERGEABLE, adapter_kind
from finetune_trainer.models.classifier import load_tokenizer
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.results import Result
from finetune_trainer.models.tuned import read_settings
from finetune_trainer.storage import Site

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MODEL = "spec.model.uri"


@dataclass(frozen=True)
class Source:
    """One result to merge."""

    where: str
    """The field of the spec that names it."""
    share: float
    """Its share; those of all sum to 1."""
    files: ModelFiles
    result: Result
    settings: InferenceSettings

    @property
    def uri(self) -> str:
        """Its address in the job."""
        return self.files.uri

    @property
    def merged_result(self) -> MergedResult:
        """Its entry in the lineage."""
        manifest = self.result.manifest
        return MergedResult(uri=self.uri, uid=manifest.uid, digest=self.result.digest, share=self.share)

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Its tokenizer."""
        with _told_of(self.where):
            return load_tokenizer(self.files)


def fetch_sources(merge: Merge, site: Site, *, weights: bool = True) -> list[Source]:
    """Download all results; without `weights`, only their metadata.

    Raises:
        ModelUnsuitable: one is no result of this project, or is an adapter that can't be merged.
        SpecInvalid: two are of different bases, tasks, labels, lengths, prompts or tokenizers.
        ModelChanged, ModelNotFound, PermissionDenied, StorageUnavailable: as `fetch_model` does.
    """
    sources = [
        _fetch(source, share, f"spec.method.merge.sources[{index}].uri", site, weights=weights)
        for index, (source, share) in enumerate(zip(merge.sources, merge.shares, strict=True))
    ]
    for other in sources[1:]:
        _check_alike(sources[0], other)
    return sources


def check_base(sources: list[Source], base: ModelFiles) -> None:
    """Check by weights that all were tuned from `base`. Raises `SpecInvalid`."""
    for source in sources:
        lineage = source.result.manifest.lineage
        if lineage.model_digest != base.digest():
            message = (
                f"{source.uri} was tuned from {lineage.model_uri} (weights {lineage.model_digest[:12]}), not from "
                f"{base.uri} ({base.digest()[:12]})"
            )
            raise SpecInvalid(message, where=source.where, hint=f"name in {_MODEL} the model that all were tuned from")


def _fetch(source: MergeSource, share: float, where: str, site: Site, *, weights: bool) -> Source:
    with _told_of(where):
        files = fetch_model(ModelSource(uri=source.uri, secret_ref=source.secret_ref), site, weights=weights)
        if files.result is None:
            hint = "name the output folder of a finished job: the one with MANIFEST.json"
            raise ModelUnsuitable(f"{source.uri} is not the result of a job", where=where, hint=hint)
        if files.base is not None:
            _check_kind(files, where)
        return Source(where, share, files, files.result, read_settings(files.folder, files.uri))


def _check_kind(files: ModelFiles, where: str) -> None:
    kind = adapter_kind(files.folder, files.uri)
    if kind not in MERGEABLE:
        message = f"{files.uri} is an adapter of the kind {kind}, which is no change of weights and can't be merged"
        raise ModelUnsuitable(message, where=where, hint="merge results of Full, LoRA, QLoRA, DoRA or IA3")


@contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Point failures inside the block at the source instead of the base model."""
    try:
        yield
    except JobFailure as failure:
        raise type(failure)(
            *(replace(p, where=where if p.where in ("", _MODEL) else p.where) for p in failure.problems)
        ) from failure


def _check_alike(first: Source, other: Source) -> None:
    """Raise `SpecInvalid` for the first setting in which two results differ and that one model can't share."""
    for what, mine, theirs in _facts(first, other):
        if mine != theirs:
            message = f"{other.uri} has {what} {_shown(theirs)}, and {first.uri} has {_shown(mine)}"
            raise SpecInvalid(message, where=other.where, hint="merge results of the same task, labels and base")
    if _rules_of(first.tokenizer) != _rules_of(other.tokenizer):
        message = f"{other.uri} and {first.uri} have different tokenizers"
        raise SpecInvalid(message, where=other.where, hint="merge results whose inputs are made in the same way")


def _facts(first: Source, other: Source) -> Iterator[tuple[str, object, object]]:
    mine, theirs = first.settings, other.settings
    yield "the task", mine.task, theirs.task
    yield "the problem type", mine.problem_type, theirs.problem_type
    yield "the labels", mine.labels, theirs.labels
    yield "the longest input", mine.max_length, theirs.max_length
    yield "the prompt template", mine.prompt_template, theirs.prompt_template
    bases = [source.result.manifest.lineage for source in (first, other)]
    if bases[0].model_digest != bases[1].model_digest:
        base, another = (f"{base.model_uri} (weights {base.model_digest[:12]})" for base in bases)
        yield "the base model", base, another


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text[:200]} ..." if len(text) > 200 else text or "none"


def _rules_of(tokenizer: "PreTrainedTokenizerBase") -> Any:
    """Everything that decides tokenisation, except batching and truncation."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.get_vocab(), tokenizer.chat_template
    rules = json.loads(backend.to_str())
    return {**rules, "truncation": None, "padding": None}, tokenizer.chat_template
