"""Whole runs on a tiny model: the reward rises, stops leave no trace, a reward model judges, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stopped_runs import Run, run_here
from yaml import safe_load

from finetune_api.curves import Fit
from finetune_api.job import FineTuneJob
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.storage import Site
from finetune_trainer.validation import validate_job

STORIES = Path(__file__).parents[3] / "tests" / "models" / "stories260k"


def rewards(run: Run) -> list[float]:
    return [point.figures["meanReward"] for point in run.report.curves if point.figures]


def message(run: Run) -> str:
    return json.dumps(run.events[-1])


@pytest.mark.parametrize(
    ("method", "policy", "rate"),
    [
        ("Full", {"algorithm": "GRPO"}, 1e-3),
        pytest.param("LoRA", {"algorithm": "RLOO", "numIterations": 2, "topP": 0.95}, 1e-2, marks=pytest.mark.slow),
    ],
    ids=["GRPO", "RLOO, several passes"],
)
def test_the_reward_rises_and_a_stop_leaves_no_trace(
    write_job: Callable[..., Path], method: str, policy: dict[str, Any], rate: float
) -> None:
    job = write_job(policy, method, training={"learningRate": rate})
    once = run_here(job, "one")
    assert once.code == 0, message(once)
    found, report = rewards(once), once.report
    assert max(found[6:]) > found[0] + 0.3
    assert report.evaluation.metrics["meanReward"] > report.evaluation.baseline["meanReward"] + 0.3
    assert report.evaluation.baseline["kl"] == pytest.approx(0, abs=1e-6)
    assert report.evaluation.metrics["kl"] > 0.01
    assert report.verdict is not None
    assert report.verdict.fit is Fit.GOOD
    assert run_here(job, "two", stop_at=5).code == 85
    again = run_here(job, "two", "--resume")
    assert again.code == 0, message(again)
    assert again.report.resumed_from == 5
    assert again.figures == once.figures
    assert again.weights == once.weights


@pytest.mark.slow
def test_a_reward_model_judges(write_job: Callable[..., Path], beginnings: list[dict[str, str]]) -> None:
    """The judge is trained first, on a taste that is easy to tell; its scores reward the answers of another model."""
    pairs = [
        {"prompt": row["prompt"], "chosen": "She was very happy.", "rejected": "Once there was a big dog named Max."}
        for row in beginnings
    ]
    learned = run_here(
        write_job(
            rows=pairs,
            task="RewardModel",
            training={"policy": None, "learningRate": 3e-3},
            evaluation={"metric": "accuracy", "generation": {}},
        ),
        "judge",
    )
    assert learned.code == 0, message(learned)
    reward = {"type": "Model", "uri": learned.folder.as_uri()}
    asked = [{"prompt": row["prompt"]} for row in beginnings]
    run = run_here(write_job({"reward": reward}, rows=asked, training={"maxSteps": 8}), "one")
    assert run.code == 0, message(run)
    found = rewards(run)
    assert max(found[4:]) > found[0] + 0.2
    assert "exactMatch" not in run.report.evaluation.metrics


@pytest.mark.causes("ModelNotFound")
@pytest.mark.parametrize("uri", ["file://./nothing", STORIES.as_uri()], ids=["nothing", "no result of a job"])
def test_what_is_no_reward_model_is_refused_at_its_field(write_job: Callable[..., Path], uri: str) -> None:
    failure = run_here(write_job({"reward": {"type": "Model", "uri": uri}}), "one").report.failure
    assert failure is not None
    assert failure.code == "ModelNotFound"
    assert "spec.training.policy.reward.uri" in failure.message


@pytest.mark.causes("ModelNotFound")
@pytest.mark.parametrize("uri", ["file://./nothing", STORIES.as_uri()], ids=["nothing", "no result of a job"])
def test_a_check_without_training_looks_for_the_reward_model(write_job: Callable[..., Path], uri: str) -> None:
    """In a cluster that is done before a GPU is taken."""
    job = write_job({"reward": {"type": "Model", "uri": uri}})
    found = validate_job(FineTuneJob.model_validate(safe_load(job.read_text())), Site(job.parent), "1", PlainObserver())
    assert found.failure is not None
    assert (found.failure.code, found.failure.problems[0].where) == ("ModelNotFound", "spec.training.policy.reward.uri")


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ({"rows": [{"prompt": f"The dog saw {number} cats."} for number in range(30)]}, "spec.data.columns.completion"),
        (
            {
                "rows": [{"prompt": f"Dog {number} ran.", "completion": "so far"} for number in range(30)],
                "policy": {"reward": {"type": "NumberMatch"}},
            },
            "expected train answers hold no number, which NumberMatch goes by, such as",
        ),
        ({"training": {"policy": None}}, "spec.training.policy"),
        ({"training": {"labelSmoothing": 0.1}}, "spec.training.labelSmoothing"),
        ({"training": {"neftuneNoiseAlpha": 5}}, "spec.training.neftuneNoiseAlpha"),
    ],
    ids=["no expected answers", "no numbers", "no reward", "smoothing", "noise"],
)
def test_what_makes_no_sense_is_told_with_its_field(
    write_job: Callable[..., Path], blocks: dict[str, Any], said: str
) -> None:
    run = run_here(write_job(**blocks), "one")
    assert run.code == 64
    assert said in message(run)


@pytest.mark.causes("ColumnMissing")
def test_a_chat_without_its_answer_can_not_be_checked(
    write_job: Callable[..., Path], beginnings: list[dict[str, str]]
) -> None:
    chats = [{"messages": [{"role": "user", "content": row["prompt"]}]} for row in beginnings]
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    run = run_here(write_job(rows=chats, data={"promptTemplate": None, "chatTemplate": template}), "one")
    assert run.report.failure is not None
    assert run.report.failure.code == "ColumnMissing"
    assert "no expected answer" in run.report.failure.message


def test_nothing_to_learn_from_is_a_warning_and_a_verdict(
    write_job: Callable[..., Path], beginnings: list[dict[str, str]]
) -> None:
    never = [row | {"completion": "zyzzyva"} for row in beginnings]
    run = run_here(
        write_job(rows=never, training={"batchSize": 1}, evaluation={"generation": {"maxNewTokens": 4}}), "one"
    )
    assert run.code == 0, message(run)
    assert any("nothing to learn from" in json.dumps(event) for event in run.events if event["event"] == "warning")
    assert run.report.verdict is not None
    assert run.report.verdict.fit is Fit.UNDERFITTING
    assert "got the same reward" in run.report.verdict.reason
