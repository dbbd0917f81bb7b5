"""What the API names but this version can't do: refused with words, never ignored."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from finetune_api.addresses import Address, Use, addresses
from finetune_api.base import ApiModel
from finetune_api.combinations import WHY_NOT
from finetune_api.failures import Problem
from finetune_api.tasks import BUILT
from finetune_api.uris import CLAIM_SCHEME, CONFIG_MAP_SCHEME, PARENT_SCHEME

if TYPE_CHECKING:
    from finetune_api.job import Spec

# Settings that no code honours yet: the path and the only value that is accepted.
_ONLY: dict[str, Any] = {
    "compute.nodes": 1,
}


def unsupported(spec: "Spec") -> list[Problem]:
    """Return one problem for each thing in `spec` that is not built yet; empty means it can run."""
    return [*_combination(spec), *_settings(spec)]


def _combination(spec: "Spec") -> Iterator[Problem]:
    methods = BUILT.get(spec.task)
    if methods is None:
        built = ", ".join(BUILT)
        yield Problem(f"{spec.task} is not built yet", "spec.task", f"this version can do: {built}")
    elif spec.method.type not in methods:
        why = WHY_NOT[spec.task].get(spec.method.type)
        problem = f"does not go with {spec.task}: {why}" if why else f"is not built yet for {spec.task}"
        hint = f"this version can do: {', '.join(sorted(methods))}"
        yield Problem(f"{spec.method.type} {problem}", "spec.method.type", hint)


def _settings(spec: "Spec") -> Iterator[Problem]:
    for path, only in _ONLY.items():
        value = _value_at(spec, path)
        if value is not _ABSENT and value != only:
            wire = "spec." + ".".join(to_camel(part) for part in path.split("."))
            yield Problem(f"{_shown(value)} is not built yet", wire, _remedy(only))


def cluster_only(spec: "Spec") -> list[Problem]:
    """Return one problem for each address that only a pod can reach: what a local run must refuse."""
    return [
        Problem(f"{it.uri} is {what}", it.path, hint)
        for it in addresses(spec)
        for schemes, what, hint in (
            (_VOLUMES, "a volume of a cluster, which a local run can't reach", _LOCAL_HINTS[it.use]),
            (PARENT_SCHEME, "a job of a cluster, whose result a local run can't find", _output_hint(it)),
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
    Use.DATA: "name a file:// here, or apply the job to a cluster",
    Use.OUTPUT: "name a folder with --output FOLDER, or apply the job to a cluster",
}


_ABSENT = object()


def _value_at(spec: "Spec", path: str) -> object:
    node: object = spec
    for part in path.split("."):
        if node is None:
            return _ABSENT
        node = getattr(node, part)
    return node


def _shown(value: object) -> str:
    if isinstance(value, ApiModel):
        return "this block"
    return "this list" if isinstance(value, list) else str(value)


def _remedy(only: object) -> str:
    """What to do instead; a value that stands for nothing is not worth naming."""
    return f"remove it, or use {only}" if isinstance(only, str | int) and only != "" else "remove it"
