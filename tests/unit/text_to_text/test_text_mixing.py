"""Several tasks in one model, told apart by a prefix; and one prefix that prediction puts there by itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RESTAURANTS = [json.loads(line) for line in (ROOT / "examples/data/e2e_restaurants.jsonl").read_text().splitlines()]


@pytest.fixture
def both_ways(tmp_path: Path) -> list[dict[str, Any]]:
    """Real facts to sentences, and the same sentences back to facts: without its prefix no row says which."""
    there = [(row["input"], row["target"]) for row in RESTAURANTS[:80]]
    sources = []
    for name, prefix, rows in (("say", "say: ", there), ("read", "read: ", [(b, a) for a, b in there])):
        lines = [json.dumps({"input": source, "target": target}) + "\n" for source, target in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        sources.append({"uri": f"file://./{name}.jsonl", "prefix": prefix})
    return sources


def test_two_tasks_are_told_apart_by_their_prefixes(
    both_ways: list[dict[str, Any]],
    encoder_decoder: Callable[..., Path],
    writing_job: Callable[..., str],
    cli: Callable[..., Any],
    tmp_path: Path,
) -> None:
    model = encoder_decoder("t5", [text for row in RESTAURANTS[:80] for text in row.values()])
    training = {"epochs": 3, "learningRate": 0.004, "batchSize": 8}
    ended = cli("run", writing_job(model, tmp_path, data={"train": both_ways}, training=training), "--json")
    assert ended.code == 0, ended.err
    report = ended.report
    assert [source.prefix for source in report.data.sources] == ["say: ", "read: "]
    assert all(row.metrics["evalLoss"] < row.baseline["evalLoss"] - 0.3 for row in report.details.sources)
    assert {sample.text.partition(": ")[0] for sample in report.details.samples} == {"say", "read"}
    settings = json.loads((ended.folder / "model/finetune.json").read_text())
    assert settings["prefix"] == "", "rows to predict must say which of the tasks they are"
    assert '"say: A text like' in (ended.folder / "README.md").read_text()


def test_a_prefix_that_all_rows_have_is_put_there_by_prediction_too(
    both_ways: list[dict[str, Any]],
    encoder_decoder: Callable[..., Path],
    writing_job: Callable[..., str],
    cli: Callable[..., Any],
    tmp_path: Path,
) -> None:
    model = encoder_decoder("t5", [text for row in RESTAURANTS[:80] for text in row.values()])
    job = writing_job(model, tmp_path, data={"train": both_ways[:1]}, training={"learningRate": 0.004})
    ended = cli("run", job, "--json")
    assert ended.code == 0, ended.err
    samples = [sample for sample in ended.report.details.samples if sample.place][:4]
    rows = [RESTAURANTS[sample.place.line - 1] for sample in samples]
    assert all(sample.text.startswith("say: ") for sample in samples)
    said = cli("predict", ended.folder, "-", stdin="".join(json.dumps(row) + "\n" for row in rows).encode()).events
    assert [event["input"] for event in said] == [row["input"] for row in rows]
    shown = [sample.predicted for sample in samples]
    assert [event["output"][: len(text) - 2] for event, text in zip(said, shown, strict=True)] == [
        text[: len(text) - 2] for text in shown
    ]
