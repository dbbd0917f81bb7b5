"""Whole runs on pairs of real answers: what is preferred gets likelier, or scored higher, and the result predicts."""

import json
import os
import re
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_api.model import ModelSource
from finetune_api.report import Report
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.tuned import load_tuned
from finetune_trainer.storage import Site
from finetune_trainer.training.losses.reward import reward_of

Run = Callable[..., tuple[Report, Path]]
Lines = Callable[[str, list[dict[str, Any]]], str]
Predict = Callable[..., list[dict[str, Any]]]
SPLIT = {"validation": 0.15, "test": 0.25}


def data(lines: Lines, pairs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"train": [{"uri": lines("pairs.jsonl", pairs[:48])}], "split": SPLIT, "maxLength": 192, **more}


@pytest.mark.parametrize("method", ["Full", "LoRA"])
def test_a_model_learns_which_answer_is_preferred(
    run: Run, predict: Predict, lines: Lines, brief_pairs: list[dict[str, Any]], method: str
) -> None:
    report, folder = run(
        "Preference",
        method,
        data=data(lines, brief_pairs),
        training={"epochs": 2, "batchSize": 8, "learningRate": 3e-4 if method == "Full" else 3e-3},
        evaluation={"generation": {"maxNewTokens": 8}},
        output={"uri": "file://./out", "mergeAdapter": method == "LoRA"},
    )
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    assert before["evalLoss"] == pytest.approx(log(2), abs=1e-4)
    assert before["rewardAccuracy"] == 0.5
    assert before["rewardMargin"] == pytest.approx(0, abs=1e-4)
    assert tuned["evalLoss"] < before["evalLoss"]
    assert tuned["rewardAccuracy"] > 0.8
    assert tuned["rewardMargin"] > 0
    losses = [point.loss for point in report.curves if point.loss is not None]
    assert losses[0] == pytest.approx(log(2), abs=1e-3)
    assert report.details is not None
    assert all(sample.expected and sample.text and sample.baseline for sample in report.details.samples)
    assert AutoModelForCausalLM.from_pretrained(folder / "model").config.model_type == "llama"
    (found,) = predict(folder, [{"prompt": "How many?"}])
    assert found.keys() == {"prompt", "completion"}
    page = (folder / "report" / "index.html").read_text()
    assert "Reward accuracy" in page
    assert "The tuned model reaches a reward accuracy of" in (folder / "README.md").read_text()


@pytest.mark.parametrize("loss", ["Hinge", "IPO", "SimPO", "ORPO"])
def test_every_loss_learns(run: Run, lines: Lines, brief_pairs: list[dict[str, Any]], loss: str) -> None:
    report, _ = run(
        "Preference",
        data=data(lines, brief_pairs[:36]),
        training={"epochs": 2, "batchSize": 8, "learningRate": 3e-4, "preference": {"loss": loss}},
        evaluation={"generation": {"maxNewTokens": 2}},
    )
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    assert tuned["evalLoss"] < before["evalLoss"]
    assert tuned["rewardMargin"] > before["rewardMargin"]


@pytest.mark.parametrize("method", ["Full", "LoRA"])
def test_a_reward_model_scores_what_is_preferred_higher(
    run: Run,
    predict: Predict,
    lines: Lines,
    brief_pairs: list[dict[str, Any]],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    report, folder = run(
        "RewardModel",
        method,
        data=data(lines, brief_pairs),
        training={"epochs": 3, "batchSize": 8, "learningRate": 3e-3},
    )
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    assert (before["accuracy"], before["margin"]) == (0.5, 0.0)
    assert before["evalLoss"] == pytest.approx(log(2))
    assert tuned["accuracy"] > 0.8
    assert tuned["evalLoss"] < before["evalLoss"]
    pair = brief_pairs[-1]
    rows = [{"prompt": pair["prompt"], "completion": pair[side]} for side in ("chosen", "rejected")]
    chosen, rejected = predict(folder, rows)
    assert chosen["score"] > rejected["score"]
    assert chosen.keys() == {"prompt", "completion", "score"}

    tuned_model = load_tuned(fetch_model(ModelSource(uri=(folder / "model").as_uri()), Site(Path("/"))))
    again = reward_of(tuned_model)([row["prompt"] for row in rows], [row["completion"] for row in rows])
    assert again == pytest.approx([chosen["score"], rejected["score"]], abs=1e-5)
    assert reward_of(tuned_model)([], []) == []

    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(folder)
    capfd.readouterr()
    exec(code.group(1), {})  # noqa: S102 -- the card's code is what is on trial
    (answer,) = reward_of(tuned_model)(["A question"], ["An answer"])
    assert float(capfd.readouterr().out.split()[-1]) == pytest.approx(answer, abs=1e-4)


def test_an_encoder_can_score_chats(
    run: Run, predict: Predict, lines: Lines, tiny_model: Callable[..., Path], sentences: list[str]
) -> None:
    asked = [{"role": "user", "content": "Say something."}]
    rows = [
        {
            "chosen": [*asked, {"role": "assistant", "content": sentences[n]}],
            "rejected": [*asked, {"role": "assistant", "content": sentences[12 + n]}],
        }
        for n in range(12)
    ]
    template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    report, folder = run(
        "RewardModel",
        model=tiny_model("bert"),
        data={"train": [{"uri": lines("chats.jsonl", rows)}], "split": {"validation": 0, "test": 0}}
        | {"chatTemplate": template},
        training={"epochs": 12, "learningRate": 0.003},
    )
    assert report.evaluated_on == "train"
    assert report.evaluation.metrics["accuracy"] == 1.0
    assert AutoTokenizer.from_pretrained(folder / "model").chat_template == template
    (whole,) = predict(folder, [{"messages": rows[0]["chosen"]}])
    (apart,) = predict(folder, [{"messages": asked, "completion": sentences[0]}])
    assert whole == apart
    assert whole["messages"] == rows[0]["chosen"]


def test_the_reference_is_kept_for_another_run(
    run: Run, lines: Lines, brief_pairs: list[dict[str, Any]], command: Callable[..., str], tmp_path: Path
) -> None:
    kept = Path(os.environ["FINETUNE_CACHE"]) / "references"
    blocks: dict[str, Any] = {
        "data": data(lines, brief_pairs[:16]),
        "training": {"maxSteps": 2, "learningRate": 1e-4},
        "evaluation": {"generation": {"maxNewTokens": 2}},
    }
    first, folder = run("Preference", **blocks)
    written = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert len(written) == 3, "one for each split"
    command("run", str(tmp_path / "job.yaml"), "--uid", "two")
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == written
    second = json.loads((folder.parent / "two" / "report" / "report.json").read_text())
    assert second["evaluation"]["metrics"] == first.model_dump(by_alias=True)["evaluation"]["metrics"]
