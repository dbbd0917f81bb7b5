"""Loading of job files: read, choose the document, apply `--set`, validate, check."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import cluster_only, unsupported
from finetune_api.failures import NotBuiltYet, Problem, SpecInvalid
from finetune_api.fields import parse_path
from finetune_api.job import FineTuneJob
from finetune_trainer.manifest.document import Document, compose, convert
from finetune_trainer.manifest.overrides import apply_overrides
from finetune_trainer.manifest.selection import job_node
from finetune_trainer.manifest.source import read_source
from finetune_trainer.manifest.spec_problems import spec_problems


@dataclass(frozen=True)
class LoadedJob:
    """A checked job: `base` is the folder that `file://./x` is relative to.

    `source` is the manifest as plain data, after overrides and before defaults.
    """

    job: FineTuneJob
    base: Path
    source: dict[str, Any]


def load_job(path: Path | str, overrides: Sequence[str] = (), *, to_run: bool = True) -> LoadedJob:
    """Load the job at `path` (`-` is standard input) with `overrides` such as `training.epochs=3`.

    With `to_run` it must be one that can run on this machine; else one for a cluster is fine too.

    Raises:
        ManifestUnreadable: there is no such file, it isn't YAML, or not exactly one FineTuneJob.
        SpecInvalid: fields are missing, unknown, of the wrong type, out of bounds, at odds, or of a cluster; lists all
            of them.
        NotBuiltYet: the job is fine but asks for what this version can't do.
    """
    source = read_source(path)
    document = convert(job_node(compose(source.text, source.name), source.name), source.name)
    document = apply_overrides(document, list(overrides))
    job = _validated(document)
    _check(job, document, to_run=to_run)
    return LoadedJob(job, source.base, document.data)


def _validated(document: Document) -> FineTuneJob:
    """Validate as an API server does: wire names, no type conversion, `null` as absent."""
    given = {name: value for name, value in document.data.items() if name != "status"}
    try:
        text = json.dumps(_without_nulls(given), allow_nan=False)
        return FineTuneJob.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecInvalid(*spec_problems(error, document)) from error


def _without_nulls(value: Any) -> Any:
    """Drop null fields, as the API server does before it applies defaults."""
    if isinstance(value, dict):
        return {name: _without_nulls(below) for name, below in value.items() if below is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _check(job: FineTuneJob, document: Document, *, to_run: bool) -> None:
    out_of_reach = cluster_only(job.spec) if to_run else []
    wrong = _located([*semantic_problems(job.spec), *out_of_reach], document)
    unbuilt = _located(unsupported(job.spec), document)
    if wrong:
        raise SpecInvalid(*wrong, *unbuilt)
    if unbuilt:
        raise NotBuiltYet(*unbuilt)


def _located(problems: list[Problem], document: Document) -> list[Problem]:
    return [replace(problem, where=document.where(parse_path(problem.where))) for problem in problems]
