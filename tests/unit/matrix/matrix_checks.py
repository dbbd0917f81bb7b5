"""What is checked of each task by each method: it learns, is stopped and goes on, is saved, and predicts."""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from stopped_runs import run_here, weights_in

from finetune_api.metrics import find_metric
from finetune_api.model import ModelSource
from finetune_api.report import Report
from finetune_api.tasks import BUILT, MethodType, Task
from finetune_api.training import Training
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.raw_tokens import tokenise_windows
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.tuned import load_tuned
from finetune_trainer.storage import Site
from finetune_trainer.training.losses.masked_lm import mask_tokens
from finetune_trainer.training.losses.token_scores import evaluate_tokens, token_metrics

Rows = list[dict[str, Any]]
QUICK = {
    (Task.TOKEN_CLASSIFICATION, MethodType.FEATURE_EXTRACTION),
    (Task.CAUSAL_LM, MethodType.PROMPT_TUNING),
    (Task.MASKED_LM, MethodType.IA3),
    (Task.SEQ2SEQ, MethodType.LORA),
    (Task.REWARD_MODEL, MethodType.QLORA),
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
    MethodType.PREFIX_TUNING: {"prefixTuning": {"numVirtualTokens": 8}},
    MethodType.PROMPT_TUNING: {"promptTuning": {"numVirtualTokens": 8}},
    MethodType.P_TUNING: {"pTuning": {"numVirtualTokens": 8}},
}
"""Settings in keeping with models so small."""
STEPS, STOP_AT = 20, 12
"""Steps of a run, and the one at which it is stopped: within an epoch, and between two evaluations."""
WRITING = frozenset({Task.SEQ2SEQ, Task.CAUSAL_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})
"""Tasks whose models write texts: one file of tests has these, another the rest, so that two processes share them."""


def cases_of(tasks: Iterable[Task]) -> list[Any]:
    """Each of the tasks by each method that is built for it, all but a few marked as slow."""
    pairs = [(task, method) for task in sorted(tasks) for method in sorted(BUILT[task] - {MethodType.MERGE})]
    return [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow) for pair in pairs]


def test_it_learns_goes_on_where_it_was_and_predicts(
    task: Task,
    method: MethodType,
    write_job: Callable[[Task, MethodType], Path],
    world_of: Callable[[Task], Any],
    cli: Callable[..., Any],
) -> None:
    """Run a job at once, and again with a stop; let the result predict."""
    job, world = write_job(task, method), world_of(task)
    once = run_here(job, "one")
    assert once.code == 0, json.dumps(once.events[-1])
    _check_figures(once.report, task, method, world.better)
    stopped = run_here(job, "two", stop_at=STOP_AT)
    assert stopped.code == 85, json.dumps(stopped.events[-1])
    again = run_here(job, "two", "--resume")
    assert again.code == 0, json.dumps(again.events[-1])
    assert again.report.resumed_from == STOP_AT
    assert again.figures == once.figures
    assert again.weights == once.weights
    PREDICTIONS[task](once.report, world.test, cli, again.folder)


def test_the_top_layer_alone_is_trained(
    layered: Task, write_job: Callable[[Task, MethodType], Path], world_of: Callable[[Task], Any]
) -> None:
    """Train the top layer alone, and see that nothing below it has moved."""
    job = write_job(layered, MethodType.FULL)
    settings = ["method.full.trainableLayers=1", "method.full.layerwiseLrDecay=0.5", "training.maxSteps=3"]
    run = run_here(job, "one", *(part for setting in settings for part in ("--set", f"spec.{setting}")))
    assert run.code == 0, json.dumps(run.events[-1])
    assert run.report.parameters is not None
    assert 0 < run.report.parameters.trainable < run.report.parameters.total
    base, found = weights_in(world_of(layered).model), run.weights
    kept = {name for name in base.keys() & found.keys() if base[name] == found[name]}
    tables = {
        name for name in found if name.endswith(("embed_tokens.weight", "word_embeddings.weight", "shared.weight"))
    }
    assert tables
    assert tables <= kept
    assert (base.keys() & found.keys()) - kept, "something has learned"


def _check_figures(report: Report, task: Task, method: MethodType, better: dict[str, float]) -> None:
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    for name, margin in better.items():
        metric = find_metric(task, name)
        assert metric is not None
        assert metric.better(tuned[name], before[name]) > margin, f"{name}: {before[name]:.3f} became {tuned[name]:.3f}"
    assert report.parameters is not None
    assert (report.parameters.trainable == report.parameters.total) == (method is MethodType.FULL)


def lines_of(rows: Rows) -> str:
    """Rows as a JSON Lines file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _predicted(cli: Callable[..., Any], folder: Path, rows: Rows) -> Rows:
    """What the exported model says of rows."""
    ended = cli("predict", folder, "-", "--format", "jsonl", stdin=lines_of(rows).encode())
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
        mask_tokens,
        mask_id=int(tokenizer.mask_token_id),
        vocabulary=min(len(tokenizer), tuned.model.config.vocab_size),
        generator=generator,
    )
    outputs = evaluate_tokens(tuned.model, TokenRows(tokens, tokenizer.pad_token_id), shift=False, change=hidden)
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
