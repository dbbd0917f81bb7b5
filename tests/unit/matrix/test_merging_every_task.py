"""Merging two results of each task: whole models by TIES, adapters by their sum; measured, and able to predict."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.tasks import BUILT, MethodType, Task

MERGED = [task for task, methods in BUILT.items() if MethodType.MERGE in methods]
CASES = [
    pytest.param(task, method, marks=() if (task, method) == (Task.TOKEN_CLASSIFICATION, "LoRA") else pytest.mark.slow)
    for task in MERGED
    for method in ("Full", "LoRA")
]
MERGES = {"Full": {"combination": "TIES", "density": 0.5}, "LoRA": {}}
RATES = {"Full": 3e-3, "LoRA": 1e-2}
TO_PREDICT: dict[Task, Callable[[dict[str, Any]], dict[str, Any]]] = {
    Task.MASKED_LM: lambda row: {"text": f"[MASK] {row['text']}"},
    Task.REWARD_MODEL: lambda row: {"prompt": row.get("prompt", ""), "completion": row["chosen"]},
}
"""What rows look like that are to be predicted, where it is not what they look like in training."""


@pytest.mark.parametrize(("task", "method"), CASES)
def test_two_results_become_one(
    task: Task, method: str, world_of: Callable[[Task], Any], cli: Callable[..., Any], tmp_path: Path
) -> None:
    world = world_of(task)
    for name in ("train", "test"):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in getattr(world, name)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")

    def run(name: str, how: dict[str, Any], training: dict[str, Any], files: tuple[str, ...]) -> Any:
        spec: dict[str, Any] = {
            "task": task.value,
            "model": {"uri": world.model.as_uri()},
            "data": {name: [{"uri": f"file://./{name}.jsonl"}] for name in files},
            "method": how,
            "output": {"uri": "file://./out"},
        }
        trained = how["type"] != "Merge"
        for block, fields in world.blocks.items():
            judged = {name: fields[name] for name in ("policy", "preference") if name in fields}
            kept = judged if block == "training" and not trained else fields
            spec[block] = {**spec.get(block, {}), **kept}
        if not trained:
            spec.get("evaluation", {}).pop("metric", None)
        spec["training"] = {**spec.get("training", {}), **training}
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
        ended = cli("run", tmp_path / f"{name}.yaml", "--json")
        assert ended.code == 0, ended.out[-2000:]
        return ended

    steps = {"maxSteps": 8, "batchSize": 8, "learningRate": RATES[method]}
    results = [
        run(f"seed-{seed}", {"type": method}, {**steps, "seed": seed}, ("train", "test")).folder for seed in (1, 2)
    ]
    merge = {"sources": [{"uri": folder.as_uri()} for folder in results], **MERGES[method]}
    merged = run("merged", {"type": "Merge", "merge": merge}, {}, ("test",))
    report = merged.report
    assert report.merge.adapter == (method == "LoRA")
    sources = [source.metrics for source in report.merge.sources]
    assert sources[0] != sources[1]
    assert report.evaluation.metrics.keys() == sources[0].keys()
    loss = report.evaluation.metrics["evalLoss"]
    worst = max(source["evalLoss"] for source in sources)
    assert loss < worst + 0.5 * abs(worst) + 0.1
    for folder, said in zip(results, sources, strict=True):
        alone = json.loads((folder / "report" / "report.json").read_text())["evaluation"]["metrics"]
        near = 0.1 if task is Task.MASKED_LM else 1e-4  # tokens are hidden by training.seed, which differs
        assert said["evalLoss"] == pytest.approx(alone["evalLoss"], rel=near)
    asked = "".join(json.dumps(TO_PREDICT.get(task, dict)(row), ensure_ascii=False) + "\n" for row in world.test)
    predicted = cli("predict", merged.folder, "-", "--format", "jsonl", stdin=asked.encode())
    assert predicted.code == 0, predicted.err
    assert len(predicted.events) == len(world.test)
