"""`spec.predict`: predictions at the end of a run, those that the exported model makes, checked before training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.manifest import MANIFEST_NAME, Manifest

TEXTS = ["a fine film", "a poor film", "fine, fine, fine", "neither here nor there"]


@pytest.fixture
def new_rows(tmp_path: Path) -> Path:
    """Rows without labels."""
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return file


@pytest.mark.parametrize(
    ("method", "output"),
    [
        ({"type": "Full"}, {}),
        ({"type": "LoRA"}, {}),
        ({"type": "LoRA"}, {"mergeAdapter": True}),
        ({"type": "FeatureExtraction"}, {}),
    ],
)
def test_predictions_are_those_of_the_exported_model(
    method: dict[str, Any],
    output: dict[str, Any],
    job: Callable[..., str],
    cli: Callable[..., Any],
    new_rows: Path,
) -> None:
    predict = {"input": f"file://./{new_rows.name}"}
    ended = cli("run", job(method=method, output=output, predict=predict), "--json")
    assert ended.code == 0, ended.err
    written = [json.loads(line) for line in (ended.folder / "predictions.jsonl").read_text().splitlines()]
    assert [row["text"] for row in written] == TEXTS
    again = cli("predict", ended.folder, new_rows).events
    assert [row["label"] for row in written] == [row["label"] for row in again]
    manifest = Manifest.model_validate_json((ended.folder / MANIFEST_NAME).read_text())
    assert "predictions.jsonl" in {entry.path for entry in manifest.files}


def test_artifacts_name_them_now_and_when_the_job_runs_again(job: Callable[..., str], new_rows: Path) -> None:
    from finetune_trainer.manifest.load import load_job
    from finetune_trainer.observers import Observers
    from finetune_trainer.run import run_job
    from finetune_trainer.storage import Site

    path = Path(job(predict={"input": f"file://./{new_rows.name}"}))
    for _ in range(2):
        result = run_job(load_job(path).job, Site(path.parent), "one-uid", Observers())
        assert result.failure is None
        assert result.artifacts.predictions.endswith("one-uid/predictions.jsonl")


def test_a_job_that_asks_for_none_has_none(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    assert not (cli("run", job(), "--json").folder / "predictions.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"text": "fine"}\n{"text": ""}\n', "new.jsonl:2"),
        ('{"text": "fine"}\n{"text": \n', "new.jsonl:2"),
        ('{"texts": "fine"}\n', "spec.predict.input"),
        ("", "new.jsonl"),
        (None, "new.jsonl"),
    ],
    ids=["empty text", "broken line", "no column", "no row", "no file"],
)
@pytest.mark.causes("DataUnreadable", "ColumnMissing", "DataEmpty", "DataNotFound")
@pytest.mark.parametrize("command", ["run", "validate"])
def test_rows_that_can_not_be_predicted_are_found_before_training(
    content: str | None, words: str, command: str, job: Callable[..., str], cli: Callable[..., Any], new_rows: Path
) -> None:
    new_rows.unlink() if content is None else new_rows.write_text(content)
    ended = cli(command, job(predict={"input": f"file://./{new_rows.name}"}))
    assert ended.code != 0
    assert words in ended.err + ended.out
    assert "[Training]" not in ended.err
