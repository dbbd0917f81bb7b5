"""Addresses of everything that a job reads and writes: the one list of spec fields with a URI. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from finetune_api.base import SecretReference
from finetune_api.data import DataSource
from finetune_api.spec import Spec
from finetune_api.uris import parent_job

_RESULTS = (("model",), ("method", "merge", "sources"), ("training", "policy", "reward"), ("checkpoints", "resumeFrom"))
"""Blocks, or lists of them, whose `uri` may name another job."""


class Use(Enum):
    """Purpose of an address."""

    MODEL = "model"
    RESULT = "result"
    """The result of another job: one of those that are merged, or a reward model."""
    CHECKPOINTS = "checkpoints"
    """Another run, whose checkpoints this one continues."""
    DATA = "data"
    OUTPUT = "output"


class Address(NamedTuple):
    """One address, and its Secret."""

    use: Use
    block: str
    """Path in the manifest of the block that holds both, as in `spec.data.train[0]`."""
    uri: str
    secret_ref: SecretReference | None
    field: str = "uri"

    @property
    def path(self) -> str:
        """Path of the field."""
        return f"{self.block}.{self.field}"


def data_sources(spec: Spec) -> Iterator[tuple[str, DataSource]]:
    """Every data source in `spec` with its path, in field order."""
    places = {f"spec.data.{name}": getattr(spec.data, name) for name in ("train", "validation", "test")}
    for place, sources in {**places, "spec.evaluation.retention.data": spec.evaluation.retention.data}.items():
        yield from ((f"{place}[{index}]", source) for index, source in enumerate(sources))


def addresses(spec: Spec) -> Iterator[Address]:
    """Every address in `spec`, in field order."""
    yield Address(Use.MODEL, "spec.model", spec.model.uri, spec.model.secret_ref)
    for place in ("train", "validation", "test"):
        yield from _sources(f"spec.data.{place}", getattr(spec.data, place))
    if spec.method.merge is not None:
        for index, merged in enumerate(spec.method.merge.sources):
            yield Address(Use.RESULT, f"spec.method.merge.sources[{index}]", merged.uri, merged.secret_ref)
    reward = spec.training.policy.reward if spec.training.policy is not None else None
    if reward is not None and reward.uri is not None:
        yield Address(Use.RESULT, "spec.training.policy.reward", reward.uri, reward.secret_ref)
    yield from _sources("spec.evaluation.retention.data", spec.evaluation.retention.data)
    resumed = spec.checkpoints.resume_from
    if resumed is not None:
        yield Address(Use.CHECKPOINTS, "spec.checkpoints.resumeFrom", resumed.uri, resumed.secret_ref)
    yield Address(Use.OUTPUT, "spec.output", spec.output.uri, spec.output.secret_ref)
    if spec.predict is not None:
        yield Address(Use.DATA, "spec.predict", spec.predict.input, spec.predict.secret_ref, "input")


def parent_names(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the jobs whose results or checkpoints `spec` needs, unique, in field order.

    `spec` is JSON, which need not be readable otherwise: the operator asks this of each job at each of its changes.
    """
    found = (_job_named(block) for path in _RESULTS for block in _blocks(spec, path))
    return tuple(dict.fromkeys(filter(None, found)))


def awaited_names(spec: Mapping[str, Any], held: Collection[str]) -> list[str]:
    """The `parent_names` whose results are not among the `held` ones."""
    return [name for name in parent_names(spec) if name not in held]


def _blocks(node: object, path: tuple[str, ...]) -> list[object]:
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, list) else [node]


def _job_named(block: object) -> str:
    uri = block.get("uri") if isinstance(block, Mapping) else None
    try:
        return parent_job(uri) if isinstance(uri, str) else ""
    except ValueError:
        return ""


def _sources(place: str, sources: Sequence[DataSource]) -> Iterator[Address]:
    for index, source in enumerate(sources):
        yield Address(Use.DATA, f"{place}[{index}]", source.uri, source.secret_ref)
