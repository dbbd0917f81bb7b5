"""Every field of a job is read by some code of trainer, operator or API: what nothing reads is accepted and ignored.

Names are compared, not objects: a field that shares its name with another is not proved by this alone.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any, get_args

import pytest

from finetune_api.base import ApiModel
from finetune_api.spec import Spec

ROOT = Path(__file__).parents[2]
CODE = ("crds/finetune_api", "operator/finetune_operator", "trainer-image/finetune_trainer")


def leaves(model: type[ApiModel], path: str = "spec") -> Iterator[tuple[str, str]]:
    """Path and Python name of each field below `model` that holds no further fields."""
    for name, field in model.model_fields.items():
        below = list(models(field.annotation))
        for one in below:
            yield from leaves(one, f"{path}.{field.alias}")
        if not below:
            yield f"{path}.{field.alias}", name


def models(annotation: Any) -> Iterator[type[ApiModel]]:
    """The models in a type, such as in `list[DataSource]` or `Full | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, GenericAlias | UnionType):
        if issubclass(annotation, ApiModel):
            yield annotation
        return
    for part in get_args(annotation):
        yield from models(part)


@cache
def read_names() -> frozenset[str]:
    """Names of all attributes that the code reads, and those that it reads by a string, as `getattr` does."""
    trees = [ast.parse(file.read_text("utf-8")) for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    return frozenset(read | {str(node.value) for node in nodes if isinstance(node, ast.Constant)})


LEAVES = sorted(set(leaves(Spec)))


def test_the_walk_finds_all_fields() -> None:
    paths = {path for path, _ in LEAVES}
    assert len(paths) > 100
    assert {"spec.data.train.uri", "spec.method.lora.rank", "spec.runPolicy.suspend", "spec.compute.queue"} <= paths
    assert "no_such_field" not in read_names()


@pytest.mark.parametrize(("path", "name"), LEAVES, ids=[path for path, _ in LEAVES])
def test_some_code_reads_it(path: str, name: str) -> None:
    assert {name, path.rpartition(".")[2]} & read_names(), f"{path} is accepted, and no code honours or refuses it"
