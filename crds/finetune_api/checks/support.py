"""Checks of unimplemented fields and values, which are rejected, never ignored."""

from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from finetune_api.addresses import Address, Use, addresses
from finetune_api.checks.combinations import WHY_NOT
from finetune_api.failures import Problem
from finetune_api.spec import Spec
from finetune_api.tasks import BUILT
from finetune_api.uris import CLAIM_SCHEME, CONFIG_MAP_SCHEME, PARENT_SCHEME

_AT_MOST = {"nodes": 1, "gpus_per_node": 1}
"""Fields of `compute` of which training uses no more yet: it is one process, on one GPU."""


def unsupported(spec: Spec) -> list[Problem]:
    """One problem per unimplemented field or value in `spec`; empty means it can run."""
    return [*_combination(spec), *_settings(spec)]


def _combination(spec: Spec) -> Iterator[Problem]:
    methods = BUILT.get(spec.task)
    if methods is None:
        built = ", ".join(BUILT)
        yield Problem(f"{spec.task} is not built yet", "spec.task", f"this version can do: {built}")
    elif spec.method.type not in methods:
        why = WHY_NOT[spec.task].get(spec.method.type)
        problem = f"does not go with {spec.task}: {why}" if why else f"is not built yet for {spec.task}"
        hint = f"this version can do: {', '.join(sorted(methods))}"
        yield Problem(f"{spec.method.type} {problem}", "spec.method.type", hint)


def _settings(spec: Spec) -> Iterator[Problem]:
    for name, most in _AT_MOST.items():
        value = getattr(spec.compute, name)
        if value > most:
            hint = f"use {most}: training is one process, on one GPU at most"
            yield Problem(f"{value} is not built yet", f"spec.compute.{to_camel(name)}", hint)


def cluster_only(spec: Spec) -> list[Problem]:
    """One problem per address that only a pod can reach, for local runs."""
    return [
        Problem(f"{it.uri} is {what}", it.path, hint)
        for it in addresses(spec)
        for schemes, what, hint in (
            (_VOLUMES, "a volume of a cluster, which a local run can't reach", _LOCAL_HINTS[it.use]),
            (PARENT_SCHEME, "a job of a cluster, whose output a local run can't find", _output_hint(it)),
        )
        if it.uri.startswith(schemes)
    ]


def _output_hint(it: Address) -> str:
    field = it.path.removeprefix("spec.")
    return f"name its output folder with --set {field}=file://OUTPUT (or s3://...), or apply the job to a cluster"


_VOLUMES = (CLAIM_SCHEME, CONFIG_MAP_SCHEME)
_LOCAL_HINTS = {
    Use.MODEL: "name another with --set model.uri=file://./FOLDER, or apply the job to a cluster",
    Use.RESULT: "copy that output here and name the copy, or apply the job to a cluster",
    Use.CHECKPOINTS: "copy that output here and name the copy with --resume-from, or apply the job to a cluster",
    Use.DATA: "name a file:// here, or apply the job to a cluster",
    Use.OUTPUT: "name a folder with --output FOLDER, or apply the job to a cluster",
}
