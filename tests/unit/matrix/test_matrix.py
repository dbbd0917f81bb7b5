"""Each task by each method that is built for it: it learns, is stopped and goes on, is saved, and predicts."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from stopped_runs import run_here, weights_in

from finetune_api.metrics import find_metric
from finetune_api.model import ModelSource
from finetune_api.report import Report
from finetune_api.tasks import BUILT, MethodType, Task
from finetune_api.training import Training
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.raw_tokens import tokenise_windows
from finetune_trainer.models.files import fetch_model
from finetune_trainer.models.tuned import load_tuned
from finetune_trainer.storage import Site
from finetune_trainer.training.foretelling import foretell, token_metrics
from finetune_trainer.training.masking import hide

Rows = list[dict[str, Any]]
CASES = [(task, method) for task, methods in BUILT.items() for method in sorted(methods - {MethodType.MERGE})]
QUICK = {
    (Task.TOKEN_CLASSIFICATION, MethodType.FEATURE_EXTRACTION),
    (Task.CAUSAL_LM, MethodType.PROMPT_TUNING),
    (Task.MASKED_LM, MethodType.IA3),
    (Task.SEQ2SEQ, MethodType.LORA),
}
"""What runs where `slow` is left out: each method's kind once."""
RATES: dict[MethodType, float] = {
    MethodType.FULL: 3e-3,
    MethodType.FEATURE_EXTRACTION: 3e-2,
    MethodType.LORA: 1e-2,
    MethodType.DORA: 1e-2,
    MethodType.IA3: 1e-1,
    MethodType.PREFIX_TUNING: 1e-1,
    MethodType.PROMPT_TUNING: 1e-1,
    MethodType.P_TUNING: 3e-2,
    MethodType.BOTTLENECK_ADAPTER: 2e-2,
    MethodType.QLORA: 1e-2,
}
"""Learning rates at which random or tiny models learn in a few steps; far above those for real ones."""
SETTINGS: dict[MethodType, dict[str, Any]] = {
    MethodType.PREFIX_TUNING: {"prefixTuning": {"virtualTokens": 8}},
    MethodType.PROMPT_TUNING: {"promptTuning": {"virtualTokens": 8}},
    MethodType.P_TUNING: {"pTuning": {"virtualTokens": 8}},
}
"""Settings in keeping with models so small."""
STEPS, STOP_AT = 20, 12
"""Steps of a run, and the one at which it is stopped: within an epoch, and between two evaluations."""


@pytest.fixture
def write_job(tmp_path: Path, world_of: Callable[[Task], Any]) -> Callable[[Task, MethodType], Path]:
    """A function that writes the job of a task by a method."""

    def write(task: Task, method: MethodType) -> Path:
        world = world_of(task)
        rate = (RATES | world.rates)[method]
        for name in ("train", "test"):
            (tmp_path / f"{name}.jsonl").write_text(_lines(getattr(world, name)), encoding="utf-8")
        spec: dict[str, Any] = {
            "task": task.value,
            "model": {"uri": world.model.as_uri()},
            "data": {name: [{"uri": f"file://./{name}.jsonl"}] for name in ("train", "test")},
            "method": {"type": method.value, **SETTINGS.get(method, {})},
            "training": {"maxSteps": STEPS, "batchSize": 8, "learningRate": rate},
            "evaluation": {"everySteps": 8},
            "output": {"uri": "file://./out"},
        }
        for block, fields in world.blocks.items():
            spec[block] = {**spec[block], **fields}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(_manifest(spec)))
        return tmp_path / "job.yaml"

    return write


def _manifest(spec: dict[str, Any]) -> dict[str, Any]:
    kind = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
    return {**kind, "spec": spec}


def _lines(rows: Rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize(
    ("task", "method"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def test_it_learns_goes_on_where_it_was_and_predicts(
    task: Task,
    method: MethodType,
    write_job: Callable[[Task, MethodType], Path],
    world_of: Callable[[Task], Any],
    cli: Callable[..., Any],
) -> None:
    job, world = write_job(task, method), world_of(task)
    if method is MethodType.QLORA and not torch.cuda.is_available():
        refused = run_here(job, "one", "--set", "spec.compute.gpusPerNode=1")
        assert refused.code != 0
        assert "QLoRA needs a GPU" in refused.events[-1]["problems"][0]["message"]
        return
    once = run_here(job, "one")
    assert once.code == 0, json.dumps(once.events[-1])
    _check_learned(once.report, task, method, world.better)
    stopped = run_here(job, "two", stop_at=STOP_AT)
    assert stopped.code == 85, json.dumps(stopped.events[-1])
    again = run_here(job, "two", "--resume")
    assert again.code == 0, json.dumps(again.events[-1])
    assert again.report.resumed_from == STOP_AT
    assert again.figures == once.figures
    assert again.weights == once.weights
    PREDICTIONS[task](once.report, world.test, cli, again.folder)


@pytest.mark.parametrize("task", [pytest.param(task, marks=pytest.mark.slow) for task in BUILT])
def test_the_top_layer_alone_is_trained(
    task: Task, write_job: Callable[[Task, MethodType], Path], world_of: Callable[[Task], Any]
) -> None:
    job = write_job(task, MethodType.FULL)
    settings = ["method.full.trainableLayers=1", "method.full.layerwiseDecay=0.5", "training.maxSteps=3"]
    run = run_here(job, "one", *(part for setting in settings for part in ("--set", f"spec.{setting}")))
    assert run.code == 0, json.dumps(run.events[-1])
    assert run.report.parameters is not None
    assert 0 < run.report.parameters.trainable < run.report.parameters.total
    base, found = weights_in(world_of(task).model), run.weights
    kept = {name for name in base.keys() & found.keys() if base[name] == found[name]}
    tables = {
        name for name in found if name.endswith(("embed_tokens.weight", "word_embeddings.weight", "shared.weight"))
    }
    assert tables
    assert tables <= kept
    assert (base.keys() & found.keys()) - kept, "something has learned"


def _check_learned(report: Report, task: Task, method: MethodType, better: dict[str, float]) -> None:
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    for name, margin in better.items():
        metric = find_metric(task, name)
        assert metric is not None
        assert metric.better(tuned[name], before[name]) > margin, f"{name}: {before[name]:.3f} became {tuned[name]:.3f}"
    assert report.parameters is not None
    assert (report.parameters.trainable == report.parameters.total) == (method is MethodType.FULL)


def _predicted(cli: Callable[..., Any], folder: Path, rows: Rows) -> Rows:
    """What the exported model says of rows."""
    ended = cli("predict", folder, "-", "--format", "jsonl", stdin=_lines(rows).encode())
    assert ended.code == 0, ended.err
    assert len(ended.events) == len(rows)
    return list(ended.events)


def _check_labels(report: Report, rows: Rows, cli: Callable[..., Any], folder: Path) -> None:
    found = _predicted(cli, folder, [{"text": row["text"]} for row in rows])
    right = [said["label"] == row["label"] for said, row in zip(found, rows, strict=True)]
    assert sum(right) / len(right) == pytest.approx(report.evaluation.metrics["accuracy"])


def _check_tags(report: Report, rows: Rows, cli: Callable[..., Any], folder: Path) -> None:
    found = _predicted(cli, folder, [{"tokens": row["tokens"]} for row in rows])
    right = [
        said == tag
        for answer, row in zip(found, rows, strict=True)
        for said, tag in zip(answer["tags"], row["tags"], strict=True)
    ]
    assert sum(right) / len(right) == pytest.approx(report.evaluation.metrics["accuracy"])


def _check_texts(report: Report, rows: Rows, cli: Callable[..., Any], folder: Path) -> None:
    """The samples of the report are written again, from inputs alone."""
    assert report.details is not None
    samples = [sample for sample in report.details.samples if sample.place]
    assert samples
    inputs = [rows[sample.place.line - 1] for sample in samples if sample.place]
    found = _predicted(
        cli, folder, [{role: row[role] for role in ("input", "prompt") if role in row} for row in inputs]
    )
    said = [(row.get("output") or row.get("completion") or "").strip() for row in found]
    assert said == [sample.predicted.strip() for sample in samples]


def _check_hidden_words(report: Report, rows: Rows, cli: Callable[..., Any], folder: Path) -> None:
    """The export foretells the same hidden words as well as the run did, and fills in others."""
    source = ModelSource(uri=folder.as_uri())
    tuned = load_tuned(fetch_model(source, Site(folder)))
    tokenizer, generator = tuned.tokenizer, torch.Generator().manual_seed(Training().seed)
    tokens = tokenise_windows([row["text"] for row in rows], tokenizer, tuned.settings.max_length)
    hidden = partial(
        hide,
        mask_id=int(tokenizer.mask_token_id),
        vocabulary=min(len(tokenizer), tuned.model.config.vocab_size),
        generator=generator,
    )
    outputs = foretell(
        tuned.model, TokenRows(tokens, tokenizer.pad_token_id), lambda _rows: None, shift=False, change=hidden
    )
    found = token_metrics(outputs)
    assert found == pytest.approx({name: report.evaluation.metrics[name] for name in found}, rel=1e-4)
    said = _predicted(cli, folder, [{"text": re.sub(r"\w+", "[MASK]", row["text"], count=1)} for row in rows])
    assert all(len(row["candidates"]) == 1 and "[MASK]" not in row["filled"] for row in said)


def _check_scores(report: Report, rows: Rows, cli: Callable[..., Any], folder: Path) -> None:
    sides = [
        _predicted(cli, folder, [{"prompt": row["prompt"], "completion": row[side]} for row in rows])
        for side in ("chosen", "rejected")
    ]
    right = [chosen["score"] > rejected["score"] for chosen, rejected in zip(*sides, strict=True)]
    assert sum(right) / len(right) == pytest.approx(report.evaluation.metrics["accuracy"])


PREDICTIONS: dict[Task, Callable[[Report, Rows, Callable[..., Any], Path], None]] = {
    Task.SEQUENCE_CLASSIFICATION: _check_labels,
    Task.TOKEN_CLASSIFICATION: _check_tags,
    Task.SEQ2SEQ: _check_texts,
    Task.CAUSAL_LM: _check_texts,
    Task.MASKED_LM: _check_hidden_words,
    Task.PREFERENCE: _check_texts,
    Task.REWARD_MODEL: _check_scores,
    Task.POLICY_OPTIMIZATION: _check_texts,
}
"""That the export says what the run said of the same rows."""
