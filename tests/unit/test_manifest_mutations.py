"""Whatever is done to a manifest, it loads or is explained: there is no third outcome."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_api.failures import JobFailure
from finetune_trainer.manifest import dump_job, load_job

MANIFEST: dict[str, Any] = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "tickets", "labels": {"team": "support"}},
    "spec": {
        "task": "SequenceClassification",
        "model": {"uri": "hf://a/b", "revision": "main"},
        "data": {
            "train": [{"uri": "file://./train.csv", "encoding": "utf-8", "format": "CSV"}],
            "split": {"validation": 0.1, "test": 0.2, "stratify": True},
            "columns": {"text": "body", "label": "queue"},
            "labels": {"problemType": "SingleLabel", "names": ["a", "b"]},
        },
        "method": {"type": "LoRA", "lora": {"rank": 4, "targetModules": ["query"]}},
        "training": {"epochs": 2, "learningRate": 0.001, "earlyStopping": {"patience": 1}},
        "evaluation": {"metric": "f1Macro", "gates": [{"metric": "recall.a", "min": 0.5}]},
        "output": {"uri": "s3://b/p", "secretRef": {"name": "s3"}},
        "runPolicy": {"backoffLimit": 1},
    },
}
TEXT = yaml.safe_dump(MANIFEST)
NAMES = ["epochs", "uri", "lora", "rank", "training", "learning_rate", "metric", "labels", "<<", "", "a.b", "x[0]"]
WORDS = ["hf://", "lora", "2e-4", "Regression", "accuracy", "recall.", "retention.x", "utf9", "DoRA", "1" * 500]
SYNTAX = st.text(alphabet="{}[]:,#&*!|>'\"%@`-?\t\n <~a1", max_size=8)
KEYS = ["training.epochs", "data.train[0]", "spec", "method", "data.labels.names", "x", "data.train"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(WORDS),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from([None, "a", 1, {"uri": "hf://a"}, {"metric": "accuracy"}]), max_size=3),
)
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in below:
        yield (*path, key)
        yield from paths(value, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """The manifest after one to four deletions, replacements, renamings and insertions."""
    manifest = deepcopy(MANIFEST)
    for _ in range(draw(st.integers(1, 4))):
        places = list(paths(manifest))
        if not places:
            break
        *above, key = draw(st.sampled_from(places))
        node: Any = manifest
        for part in above:
            node = node[part]
        action = draw(st.sampled_from(["delete", "replace", "rename", "insert", "swap"]))
        if action == "delete":
            del node[key]
        elif action == "replace":
            node[key] = draw(VALUES)
        elif action == "insert" and isinstance(node, dict):
            node[draw(st.one_of(st.sampled_from(NAMES), st.text(max_size=5)))] = draw(VALUES)
        elif action == "rename" and isinstance(node, dict):
            node[draw(st.sampled_from(NAMES))] = node.pop(key)
        elif action == "swap":
            node[key] = deepcopy(MANIFEST["spec"][draw(st.sampled_from(sorted(MANIFEST["spec"])))])
    return manifest


def loads_or_is_explained(path: Path, overrides: tuple[str, ...] = ()) -> None:
    failure: JobFailure | None = None
    try:
        job = load_job(path, overrides).job
    except JobFailure as raised:
        failure = raised
    if failure is None:
        path.write_text(dump_job(job), encoding="utf-8")
        assert load_job(path).job == job
    else:
        assert failure.problems
        assert all(problem.message and problem.where for problem in failure.problems)
        assert "Traceback" not in str(failure)


@QUICK
@given(manifest=mutated())
def test_mutated_manifests(manifest: Any, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(manifest, allow_unicode=True), encoding="utf-8")
    loads_or_is_explained(path)


@QUICK
@given(data=st.data())
def test_manifests_with_damaged_characters(data: st.DataObject, tmp_path: Path) -> None:
    start = data.draw(st.integers(0, len(TEXT)))
    end = data.draw(st.integers(start, min(len(TEXT), start + 10)))
    damage = data.draw(st.one_of(st.text(max_size=8), SYNTAX))
    path = tmp_path / "job.yaml"
    path.write_text(TEXT[:start] + damage + TEXT[end:], encoding="utf-8", newline="")
    loads_or_is_explained(path)


@QUICK
@given(content=st.binary(max_size=200))
def test_random_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(content)
    with pytest.raises(JobFailure):
        load_job(path)


@QUICK
@given(key=st.sampled_from(KEYS), value=st.one_of(st.text(max_size=10), SYNTAX))
def test_any_override(key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(TEXT, encoding="utf-8")
    loads_or_is_explained(path, (f"{key}={value}",))


@QUICK
@given(override=st.text(max_size=20))
def test_any_text_as_override(override: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(TEXT, encoding="utf-8")
    loads_or_is_explained(path, (override,))
