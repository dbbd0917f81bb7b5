"""Named entities end to end: real Chinese sentences, learned from nothing by a tiny model, and put to use."""

import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from finetune_api.metrics import CATALOGUE
from finetune_api.report import Report
from finetune_api.tasks import Task

Cli = Callable[..., Any]
Job = Callable[..., str]
UNER = Path(__file__).parents[1] / "data" / "uner_zh"
TAGS = ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
AS_NER = ("--json", "--set", "spec.task=TokenClassification")


@pytest.fixture
def ner_job(job: Job, zh_model: Path) -> Job:
    """A job on the Chinese sentences; blocks are merged over it."""

    def write(name: str, **blocks: Any) -> str:
        data = {place: [{"uri": (UNER / f"{place}.iob2").as_uri()}] for place in ("train", "test")}
        blocks["data"] = data | {"clean": {}} | blocks.get("data", {})
        training = {"epochs": 8, "learningRate": 0.004, "batchSize": 16, "earlyStopping": {"patience": 0}}
        blocks["training"] = training | blocks.get("training", {})
        return job(name, model=zh_model.as_uri(), **({"evaluation": {"metric": "f1"}} | blocks))

    return write


def test_entities_are_learned_told_and_predicted(
    ner_job: Job, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [{"metric": "f1.LOC", "min": 0.02}, {"metric": "f1", "minImprovement": 0.02}]
    ended = cli("run", ner_job("zh", evaluation={"metric": "f1", "gates": gates}), *AS_NER)
    assert ended.code == 0, ended.err
    report: Report = ended.report
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    assert set(tuned) == {*CATALOGUE[Task.TOKEN_CLASSIFICATION], "f1.LOC"}
    assert tuned["f1"] > before["f1"] + 0.05
    assert tuned["evalLoss"] < before["evalLoss"] / 2
    assert report.data is not None
    assert report.data.label_names == TAGS
    _check_report(report, ended.folder)
    _check_prediction(ended.folder, cli, tmp_path)
    _check_code_of_the_card(ended.folder, monkeypatch)


def _check_report(report: Report, folder: Path) -> None:
    assert report.details is not None
    classes = report.details.classes
    assert [row.label for row in classes] == ["LOC", "ORG", "PER"]
    expected = sum(line.split("\t")[1].startswith("B-") for line in _lines("test.iob2"))
    assert sum(row.support for row in classes) == expected
    assert any(piece.expected for sample in report.details.worst for piece in sample.tagged)
    page = (folder / "report/index.html").read_text(encoding="utf-8")
    assert '<mark class="entity missed">' in page
    assert '<th scope="col">Type</th>' in page
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: token-classification" in card
    assert "AutoModelForTokenClassification" in card


def _lines(name: str) -> list[str]:
    return [line for line in (UNER / name).read_text(encoding="utf-8").splitlines() if line]


def _check_prediction(folder: Path, cli: Cli, tmp_path: Path) -> None:
    (row, *_rest) = rows = cli("predict", folder, UNER / "test.iob2").events
    assert len(rows) == 130
    assert len(row["tokens"]) == len(row["tags"])
    assert any(found["entities"] for found in rows)
    for found in rows:
        for entity in found["entities"]:
            assert found["text"][entity["start"] : entity["end"]] == entity["text"]
            assert entity["type"] in {"LOC", "ORG", "PER"}
            assert 0 < entity["score"] <= 1
    (text,) = cli("predict", folder, "-", stdin="中国河北省张家口市".encode()).events
    assert set(text) == {"text", "entities"}
    (long,) = cli("predict", folder, "-", stdin=("中" * 200).encode()).events
    assert long["unseenWords"] == 200 - 94
    cli("predict", folder, UNER / "test.iob2", "--output", tmp_path / "x.csv")
    header, first = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert header == "text,tokens,tags,entities"
    assert "B-" in first or '""O""' in first
    table = cli("predict", folder, UNER / "test.iob2", "--format", "table").out
    assert "entities" in table
    assert f": {rows[0]['entities'][0]['type']} " in table if rows[0]["entities"] else "[" in table


def _check_code_of_the_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(folder)
    said = StringIO()
    with redirect_stdout(said):
        exec(code.group(1), {})  # noqa: S102 -- the card's code is what is on trial
    assert said.getvalue().startswith("[")


def test_an_adapter_is_saved_and_loaded(ner_job: Job, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = cli("run", ner_job("lora", method={"type": "LoRA"}, training={"epochs": 3}), *AS_NER)
    assert ended.code == 0, ended.err
    report: Report = ended.report
    assert report.evaluation.metrics["evalLoss"] < report.evaluation.baseline["evalLoss"]
    assert report.parameters is not None
    assert report.parameters.trainable < report.parameters.total / 2
    adapter = json.loads((ended.folder / "model/adapter_config.json").read_text())
    assert adapter["task_type"] == "TOKEN_CLS"
    (first, *_rest) = cli("predict", ended.folder, UNER / "test.iob2").events
    assert set(first["tags"]) <= set(TAGS)
    _check_code_of_the_card(ended.folder, monkeypatch)


def test_words_that_the_model_does_not_see_count_as_missed(ner_job: Job, cli: Cli) -> None:
    path = ner_job("short", data={"maxLength": 8}, training={"epochs": 1, "maxSteps": 1})
    report: Report = cli("run", path, *AS_NER).report
    assert report.data is not None
    assert report.data.splits["test"].unseen_words > 1000
    assert any("never seen by the model" in warning for warning in report.data.warnings)
    assert report.details is not None
    expected = sum(line.split("\t")[1].startswith("B-") for line in _lines("test.iob2"))
    assert sum(row.support for row in report.details.classes) == expected


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ({"evaluation": {"gates": [{"metric": "f1.Place", "min": 0.1}]}}, "'Place' is not one of the types"),
        ({"evaluation": {"metric": "f1Macro"}}, "TokenClassification has no metric 'f1Macro'"),
        ({"training": {"classWeights": "Balanced"}}, "spec.training.classWeights"),
        ({"data": {"columns": {"text": "tokens"}}}, "columns of this task: tokens, tags"),
        ({"data": {"labels": {"separator": "|"}}}, "each word has one tag"),
        (
            {"method": {"type": "FeatureExtraction", "featureExtraction": {"pooling": "Mean"}}},
            "spec.method.featureExtraction.pooling",
        ),
    ],
)
def test_what_is_refused_before_training(blocks: dict[str, Any], words: str, ner_job: Job, cli: Cli) -> None:
    ended = cli("validate", ner_job("bad", **blocks), "--set", "spec.task=TokenClassification")
    assert ended.code == 64
    assert words in ended.err
