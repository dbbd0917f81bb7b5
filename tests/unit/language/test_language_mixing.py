"""Language models on several sources: raw text by domain, and prompts with a prefix."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.tasks import mixed

STORIES = Path(__file__).parents[2] / "models" / "stories260k"
DATA = Path(__file__).parents[3] / "examples" / "data"


@pytest.fixture
def domains(lines: Callable[..., str]) -> list[dict[str, Any]]:
    """Two domains of real text: plays, and descriptions of restaurants."""
    plays = [json.loads(line)["text"][:200] for line in (DATA / "shakespeare.jsonl").read_text().splitlines()[:40]]
    lunch = [json.loads(line)["target"] for line in (DATA / "e2e_restaurants.jsonl").read_text().splitlines()[:60]]
    named = {"plays": plays, "lunch": lunch}
    return [{"uri": lines(f"{name}.jsonl", [{"text": text} for text in texts])} for name, texts in named.items()]


def written(folder: Path, task: str, model: Path, **blocks: Any) -> str:
    spec = {
        "task": task,
        "model": {"uri": model.as_uri()},
        "output": {"uri": "file://./out"},
        "training": {"epochs": 2, "batchSize": 4, "learningRate": 0.001},
        **blocks,
    }
    job = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "mixed"}, "spec": spec}
    (folder / "job.yaml").write_text(json.dumps(job))
    return str(folder / "job.yaml")


def test_stretches_of_raw_text_keep_to_their_source(
    domains: list[dict[str, Any]], cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [{**domains[0], "weight": 1}, {**domains[1], "weight": 1}]
    made: list[Any] = []

    def noting(*given: Any, **named: Any) -> Any:
        made.append(mixed.tokenise_sources(*given, **named))
        return made[-1]

    monkeypatch.setattr("finetune_trainer.stages.tokens.tokenise_sources", noting)
    data = {"train": sources, "maxLength": 32}
    ended = cli("run", written(tmp_path, "CausalLM", STORIES, data=data), "--json")
    assert ended.code == 0, ended.err
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    train = made[0]
    for number, (own, other) in enumerate((("Citizen:", "restaurant"), ("restaurant", "Citizen:"))):
        rows = [row for row in range(len(train)) if train.sources[row] == number]
        text = tokenizer.decode([i for row in rows for i in train.ids[train.offsets[row] : train.offsets[row + 1]]])
        assert own in text
        assert other not in text
    report = ended.report
    assert [row.group.rpartition("/")[2] for row in report.details.sources] == ["plays.jsonl", "lunch.jsonl"]
    assert all(row.metrics["evalLoss"] < row.baseline["evalLoss"] for row in report.details.sources)


@pytest.mark.causes("SpecInvalid")
def test_no_stretch_of_raw_text_is_easier(
    domains: list[dict[str, Any]], cli: Callable[..., Any], tmp_path: Path
) -> None:
    ended = cli("run", written(tmp_path, "CausalLM", STORIES, data={"train": domains, "order": "EasyFirst"}))
    assert ended.code != 0
    assert "spec.data.order" in ended.err


def test_masked_text_goes_from_short_to_long(
    domains: list[dict[str, Any]], with_head: Callable[[str], Path], cli: Callable[..., Any], tmp_path: Path
) -> None:
    data = {"train": domains, "order": "EasyFirst", "maxLength": 32}
    ended = cli("run", written(tmp_path, "MaskedLM", with_head("bert"), data=data), "--json")
    assert ended.code == 0, ended.err
    assert len(ended.report.details.sources) == 2


def test_prompts_have_a_prefix_in_training_and_in_prediction(
    lines: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [{"prompt": f"the number {n}", "completion": f"is {n}"} for n in range(40)]
    data = {"train": [{"uri": lines("rows.jsonl", rows), "prefix": "Say: "}]}
    evaluation = {"generation": {"maxNewTokens": 4}}
    ended = cli("run", written(tmp_path, "CausalLM", STORIES, data=data, evaluation=evaluation), "--json")
    assert ended.code == 0, ended.err
    report = ended.report
    assert "Say: the number" in "".join(piece.text for piece in report.data.sample)
    sample = report.details.samples[0]
    assert "Say: the number" in sample.text
    row = rows[sample.place.line - 1]
    said = cli("predict", ended.folder, "-", stdin=(json.dumps(row) + "\n").encode()).events[0]
    assert said["prompt"] == row["prompt"]
    assert said["completion"] == sample.predicted
