"""What the API names and this version can't do is refused, field by field, never ignored."""

from functools import reduce
from itertools import product
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from finetune_api.checks.support import cluster_only, unsupported
from finetune_api.fields import fields, parse_path, schema_path
from finetune_api.method import BLOCKS
from finetune_api.spec import Spec
from finetune_api.tasks import BUILT, MethodType, Task

MERGE = {"merge": {"sources": [{"uri": "file://a"}, {"uri": "file://b"}]}}
OTHER = {"uri": "finetunejob://other"}
MINIMAL: dict[str, Any] = {
    "task": "SequenceClassification",
    "model": {"uri": "hf://a/b"},
    "data": {"train": [{"uri": "file://x.csv"}]},
    "output": {"uri": "file://out"},
}


def spec_with(path: str, value: Any) -> Spec:
    """The minimal spec with one value set, below the method type that the path is of."""
    *above, name = [part if part.isdigit() else to_camel(part) for part in path.split(".")]
    spec = Spec.model_validate(MINIMAL).model_dump(mode="json", by_alias=True)
    if above[:1] == ["method"]:
        method = next(method for method, block in BLOCKS.items() if to_camel(block) == above[1])
        spec["method"] = {"type": method, above[1]: {}}
    node = reduce(lambda below, part: below[int(part) if part.isdigit() else part], above, spec)
    node[name] = value
    return Spec.model_validate(spec)


def test_the_minimal_spec_can_run() -> None:
    assert unsupported(Spec.model_validate(MINIMAL)) == []


@pytest.mark.causes("NotBuiltYet")
@pytest.mark.parametrize(("task", "method"), list(product(Task, MethodType)))
def test_a_combination_runs_if_and_only_if_it_is_built(task: Task, method: MethodType) -> None:
    block = MERGE if method is MethodType.MERGE else {}
    spec = Spec.model_validate(MINIMAL | {"task": task, "method": {"type": method, **block}})
    problems = unsupported(spec)
    if method in BUILT.get(task, ()):
        assert problems == []
    else:
        assert [problem.where for problem in problems] == ["spec.method.type" if task in BUILT else "spec.task"]
        assert (method if task in BUILT else task) in problems[0].message
        assert "this version can do: " in problems[0].hint


@pytest.mark.causes("NotBuiltYet")
@pytest.mark.parametrize(("name", "value"), [("nodes", 2), ("gpusPerNode", 2), ("gpusPerNode", 16)])
def test_more_processes_than_one_are_refused(name: str, value: int) -> None:
    (problem,) = unsupported(spec_with(f"compute.{name}", value))
    assert problem.where == f"spec.compute.{name}"
    assert schema_path(parse_path(problem.where)) in fields()
    assert problem.message == f"{value} is not built yet"
    assert problem.hint.startswith("use 1: ")


@pytest.mark.parametrize(("name", "value"), [("nodes", 1), ("gpusPerNode", 0), ("gpusPerNode", 1)])
def test_one_process_is_not_refused(name: str, value: int) -> None:
    assert unsupported(spec_with(f"compute.{name}", value)) == []


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("model.uri", "pvc://claim/model"),
        ("data.train.0.uri", "pvc://claim/x.csv"),
        ("data.train.0.uri", "configmap://name/key"),
        ("output.uri", "pvc://claim/out"),
    ],
)
def test_volumes_are_of_clusters_only(path: str, uri: str) -> None:
    spec = spec_with(path, uri)
    assert unsupported(spec) == []
    (problem,) = cluster_only(spec)
    assert problem.where == "spec." + path.replace(".0", "[0]")
    assert uri in problem.message
    assert "apply the job to a cluster" in problem.hint
    assert cluster_only(Spec.model_validate(MINIMAL)) == []


@pytest.mark.parametrize(
    ("where", "blocks"),
    [
        ("model.uri", {"model": OTHER}),
        (
            "method.merge.sources[1].uri",
            {"method": {"type": "Merge", "merge": {"sources": [{"uri": "s3://a/b"}, OTHER]}}},
        ),
        ("training.policy.reward.uri", {"training": {"policy": {"reward": {"type": "Model", **OTHER}}}}),
    ],
)
def test_the_result_of_a_job_is_found_in_its_cluster_only(where: str, blocks: dict[str, Any]) -> None:
    spec = Spec.model_validate(MINIMAL | {"task": "PolicyOptimization"} | blocks)
    assert unsupported(spec) == []
    (problem,) = cluster_only(spec)
    assert problem.where == f"spec.{where}"
    assert "finetunejob://other is a job of a cluster" in problem.message
    assert f"{where}=file://OUTPUT" in problem.hint
