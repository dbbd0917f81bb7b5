"""What is measured beside the reward: groups of prompts, an old skill of the same kind, and the language itself."""

import json
from collections.abc import Callable
from itertools import product
from math import exp
from pathlib import Path
from typing import Any

import pytest
from stopped_runs import Run, run_here

from finetune_api.tasks import Task

NAMES = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max", "Lucy")
PLACES = ("park", "lake", "shop", "farm")
WANTED = {"easy": ("One day", "was"), "hard": ("In spring", "zyzzyva")}
TEST = [
    {"prompt": f"{when}, {name} went to the {place}.", "completion": word, "kind": kind}
    for name, place in product(NAMES, PLACES)
    for kind, (when, word) in WANTED.items()
]
"""Two groups of 32 prompts; what the one asks for is never written."""
TALES = [
    {"text": f"Once upon a time, there was a little child named {name}. {name} went to the {place} and was happy."}
    for name, place in product(NAMES, PLACES)
]


def lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[str, list[dict[str, str]]], list[dict[str, str]]]:
    """A function that writes rows, and returns them as the sources of a job."""

    def write(name: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        (tmp_path / f"{name}.jsonl").write_text(lines(rows))
        return [{"uri": f"file://./{name}.jsonl"}]

    return write


def message(run: Run) -> str:
    return json.dumps(run.events[-1])


@pytest.mark.slow
def test_groups_and_an_old_skill_are_measured_and_a_stop_leaves_no_trace(
    write_job: Callable[..., Path], write_rows: Callable[..., Any], beginnings: list[dict[str, str]]
) -> None:
    asked = [row | {"kind": "easy"} for row in beginnings]
    evaluation = {
        "groupColumn": "kind",
        "retention": {"data": write_rows("old", TEST[::4])},
        "gates": [{"metric": "gap.meanReward", "max": 0.1}, {"metric": "retention.meanReward", "maxRegression": 0}],
        "generation": {"maxNewTokens": 6},
    }
    data = {"test": write_rows("test", TEST), "split": {"validation": 0.2}}
    job = write_job(rows=asked, data=data, evaluation=evaluation, training={"maxSteps": 8})
    once = run_here(job, "one")
    assert once.code == 86, message(once)
    found = once.report.evaluation
    details = once.report.details
    assert details is not None
    by_group = {group.group: group for group in details.groups}
    assert by_group["hard"].metrics["meanReward"] == 0 < by_group["easy"].metrics["meanReward"]
    assert found.metrics["gap.meanReward"] == by_group["easy"].metrics["meanReward"]
    assert {"meanReward", "exactMatch", "kl"} == by_group["easy"].metrics.keys()
    assert found.metrics["meanReward"] == pytest.approx(by_group["easy"].metrics["meanReward"] / 2)
    assert [gate.passed for gate in found.gates] == [False, True]
    assert found.metrics["retention.meanReward"] > found.baseline["retention.meanReward"]
    assert found.metrics["retention.kl"] > found.baseline["retention.kl"] == pytest.approx(0, abs=1e-6)
    assert details.retention is not None
    assert (details.retention.task, details.retention.rows) == (Task.POLICY_OPTIMIZATION, len(TEST[::4]))
    page = (once.folder / "report" / "index.html").read_text()
    assert "Retention" in page
    assert "the weakest in <code>meanReward</code> first" in page
    assert run_here(job, "two", stop_at=5).code == 85
    again = run_here(job, "two", "--resume")
    assert again.report.resumed_from == 5
    assert again.figures == once.figures


@pytest.mark.parametrize(("method", "rate"), [("Full", 1e-3), pytest.param("LoRA", 1e-2, marks=pytest.mark.slow)])
def test_the_language_that_rewards_cost_is_measured(
    write_job: Callable[..., Path], write_rows: Callable[..., Any], method: str, rate: float
) -> None:
    evaluation = {
        "retention": {"data": write_rows("tales", TALES), "task": "CausalLM"},
        "gates": [{"metric": "retention.perplexity", "maxRegression": 1000}],
    }
    run = run_here(write_job({}, method, evaluation=evaluation, training={"learningRate": rate, "maxSteps": 8}), "one")
    assert run.code == 0, message(run)
    found, before = run.report.evaluation.metrics, run.report.evaluation.baseline
    assert found["retention.perplexity"] > before["retention.perplexity"] + 0.01
    assert found["retention.perplexity"] == pytest.approx(exp(found["retention.evalLoss"]))
    assert "retention.meanReward" not in found


@pytest.mark.causes("ColumnMissing")
def test_old_prompts_need_what_their_reward_needs(
    write_job: Callable[..., Path], write_rows: Callable[..., Any], beginnings: list[dict[str, str]]
) -> None:
    old = [{"messages": [{"role": "user", "content": row["prompt"]}]} for row in beginnings]
    rows = [
        {"messages": [*row["messages"], {"role": "assistant", "content": asked["completion"]}]}
        for row, asked in zip(old, beginnings, strict=True)
    ]
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    data = {"promptTemplate": None, "chatTemplate": template}
    run = run_here(write_job(rows=rows, data=data, evaluation={"retention": {"data": write_rows("old", old)}}), "one")
    assert run.report.failure is not None
    assert "spec.evaluation.retention.columns.completion" in run.report.failure.message
