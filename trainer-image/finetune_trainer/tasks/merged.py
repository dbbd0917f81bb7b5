"""Merge jobs: task, labels, prompts and lengths come from the merged results."""

from pathlib import Path

from finetune_api.data import Clean, Columns, Data
from finetune_api.evaluation import Generation
from finetune_api.failures import SpecInvalid
from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType, ProblemType, Task
from finetune_trainer.models.sources import Source, fetch_sources
from finetune_trainer.storage import Site

_LABELLED = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION})
_HINT = "remove it: the merged model has those of its sources"


def sources_of(spec: Spec, site: Site, *, weights: bool = True) -> list[Source]:
    """The results that a job merges; empty for other methods. Raises as `fetch_sources` does."""
    merges = spec.method.type is MethodType.MERGE and spec.method.merge is not None
    return fetch_sources(spec.method.merge, site, weights=weights) if merges and spec.method.merge else []


def as_its_sources(spec: Spec, sources: list[Source]) -> Spec:
    """The spec with settings of the sources where the job leaves them out; unchanged without sources.

    Raises `SpecInvalid` where the job asks for something that the sources are not.
    """
    if not sources:
        return spec
    first, data = sources[0], spec.data
    settings = first.settings
    if settings.task is not spec.task:
        message = f"{spec.task} is not the task of {first.uri}, which is {settings.task}"
        raise SpecInvalid(message, where="spec.task", hint=f"use {settings.task}, or merge results of another task")
    _check_same("labels.names", data.labels.names, settings.labels, first.uri)
    _check_same("maxLength", data.max_length, settings.max_length, first.uri)
    _check_same("promptTemplate", data.prompt_template, settings.prompt_template, first.uri)
    if data.labels.problem_type is not ProblemType.AUTO:
        _check_same("labels.problemType", data.labels.problem_type, settings.problem_type, first.uri)
    return spec.model_copy(update={"data": _filled(data, settings)})


def save_merged_settings(spec: Spec, source: Source, folder: Path) -> None:
    """Write `finetune.json` of the merged model into `folder`: a source's, with overrides of the job."""
    own = {"method": spec.method.type, "columns": spec.data.columns, "clean": spec.data.clean, "quantization": None}
    if spec.evaluation.generation != Generation():
        own["generation"] = spec.evaluation.generation
    settings: InferenceSettings = source.settings.model_copy(update=own)
    (folder / INFERENCE_NAME).write_text(
        settings.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n", encoding="utf-8"
    )


def _filled(data: Data, settings: InferenceSettings) -> Data:
    labels = data.labels
    if settings.task in _LABELLED:
        labels = labels.model_copy(update={"problem_type": settings.problem_type, "names": settings.labels})
    prefixed = {
        place: [
            source.model_copy(update={"prefix": source.prefix or settings.prefix}) for source in getattr(data, place)
        ]
        for place in ("train", "test")
    }
    filled = {
        "labels": labels,
        "columns": data.columns if data.columns != Columns() else settings.columns,
        "clean": data.clean if data.clean != Clean() else settings.clean,
        "max_length": settings.max_length,
        "prompt_template": settings.prompt_template,
    }
    return data.model_copy(update=prefixed | filled)


def _check_same(field: str, asked: object, theirs: object, uri: str) -> None:
    if asked not in (None, [], theirs):
        shown = ", ".join(map(str, theirs)) if isinstance(theirs, list) else theirs
        raise SpecInvalid(f"{asked} is not what {uri} has: {shown}", where=f"spec.data.{field}", hint=_HINT)
