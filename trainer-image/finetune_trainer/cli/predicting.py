"""`finetune-trainer predict`."""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from finetune_api.failures import Problem, SpecInvalid
from finetune_trainer.cli.running import output_uri, quiet_libraries

if TYPE_CHECKING:
    from finetune_trainer.prediction import Prediction

_FORMATS = ("table", "jsonl", "csv")


def predict_command(model: str, rows: str, output_format: str, output: Path | None) -> None:
    """Predict and write. Raises the failures of reading the model and the rows."""
    kind = output_format or ("table" if output is None and sys.stdout.isatty() else "jsonl")
    if kind not in _FORMATS:
        hint = f"use one of {', '.join(_FORMATS)}"
        raise SpecInvalid(Problem(f"{kind!r} is not a format of predictions", "--format", hint))
    quiet_libraries()
    from finetune_trainer.prediction import predict_rows

    predictions = predict_rows(output_uri(model), rows if rows == "-" else output_uri(rows), Path.cwd())
    if output is None:
        _write(kind, predictions, sys.stdout)
        return
    with output.open("w", encoding="utf-8", newline="") as file:
        _write(kind, predictions, file)


def _write(kind: str, predictions: Iterable["Prediction"], stream: TextIO) -> None:
    {"table": _write_table, "jsonl": _write_jsonl, "csv": _write_csv}[kind](predictions, stream)


def _write_jsonl(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    stream.writelines(json.dumps(prediction.as_dict(), ensure_ascii=False) + "\n" for prediction in predictions)


def _write_csv(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    writer: csv.DictWriter[str] | None = None
    for prediction in predictions:
        flat = {key: value for key, value in prediction.as_dict().items() if key != "scores"}
        flat |= {f"score.{label}": f"{score:.6f}" for label, score in prediction.scores.items()}
        if isinstance(flat["label"], list):
            flat["label"] = "|".join(flat["label"])
        if writer is None:
            writer = csv.DictWriter(stream, list(flat), lineterminator="\n")
            writer.writeheader()
        writer.writerow(flat)


def _write_table(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("text", max_width=70, no_wrap=True, overflow="ellipsis")
    table.add_column("label", style="bold")
    table.add_column("score", justify="right")
    table.add_column("next", style="dim")
    for prediction in predictions:
        others = sorted(prediction.scores.items(), key=lambda item: -item[1])[1:2]
        following = ", ".join(f"{label} {score:.2f}" for label, score in others)
        score = f"{prediction.score:.2f}" if prediction.score is not None else ""
        table.add_row(" ".join(prediction.text.split()), prediction.label_text, score, following)
    Console(file=stream).print(table)
