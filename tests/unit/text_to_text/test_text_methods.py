"""Each method trains BART too, whose parts have other names than those of T5, and its export writes the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RATES = {
    "DoRA": 0.02,
    "IA3": 0.1,
    "PrefixTuning": 0.1,
    "PromptTuning": 0.3,
    "PTuning": 0.02,
    "BottleneckAdapter": 0.02,
}
ROWS = [
    {"input": f"name[{name}], food[{food}]", "target": f"{name} serves {food} food."}
    for name in ("Cotto", "Aromi", "Fitzbillies", "Zizzi", "Alimentum", "The Eagle", "The Mill", "Wildwood")
    for food in ("Chinese", "English", "French", "Indian", "Italian", "Japanese")
]


@pytest.mark.parametrize("method", RATES)
def test_each_method_learns_and_the_export_writes_the_same(
    method: str,
    tmp_path: Path,
    encoder_decoder: Callable[..., Path],
    writing_job: Callable[..., str],
    cli: Callable[..., Any],
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    model = encoder_decoder("bart", [text for row in ROWS for text in row.values()], vocabulary=340)
    blocks = {
        "method": {"type": method},
        "training": {"epochs": 5, "learningRate": RATES[method], "batchSize": 8},
        "evaluation": {"generation": {"maxNewTokens": 12, "numBeams": 2}},
    }
    ended = cli("run", writing_job(model, tmp_path / "rows.jsonl", **blocks), "--json")
    assert ended.code == 0, ended.out[-2000:]
    report = ended.report
    assert report.parameters is not None
    assert report.parameters.trainable < report.parameters.total
    assert report.evaluation.metrics["evalLoss"] < report.evaluation.baseline["evalLoss"] - 0.1
    assert report.details is not None
    samples = report.details.samples
    inputs = "".join(json.dumps({"input": sample.text}) + "\n" for sample in samples)
    written = cli("predict", ended.folder, "-", stdin=inputs.encode())
    assert written.code == 0, written.err
    assert [event["output"] for event in written.events] == [sample.predicted for sample in samples]
