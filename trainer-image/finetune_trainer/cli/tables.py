"""Predictions as a table for people, as JSON lines and as CSV."""

import csv
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from finetune_trainer.prediction import Prediction

_WIDEST_TEXT = 70


def write_jsonl(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """One object a row: text, label, score, scores; what does not apply is left out."""
    stream.writelines(json.dumps(prediction.as_dict(), ensure_ascii=False) + "\n" for prediction in predictions)


def write_csv(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """One line a row, with a column `score.<label>` for each label; several labels are joined by a bar."""
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


def write_table(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """A table of text, label and, where there are probabilities, score and the next likely label."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = list(predictions)
    scored = any(prediction.scores for prediction in found)
    paired = any(prediction.pair for prediction in found)
    table = Table()
    for name in ("text", *(["pair"] if paired else [])):
        table.add_column(name, max_width=_WIDEST_TEXT, no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("label", style="bold")
    if scored:
        table.add_column("score", justify="right")
        table.add_column("next", style="dim")
    for prediction in found:
        texts = [prediction.text, *([prediction.pair] if paired else [])]
        cells = [Text(" ".join(text.split())) for text in texts]
        table.add_row(*cells, Text(prediction.label_text), *(_scores(prediction) if scored else ()))
    Console(file=stream).print(table)


def _scores(prediction: "Prediction") -> tuple[str, str]:
    """Probability of the label (the least of several), and the most likely label beside it."""
    chosen = prediction.label if isinstance(prediction.label, list) else [str(prediction.label)]
    score = min((prediction.scores[label] for label in chosen), default=None)
    others = sorted(prediction.scores.items(), key=lambda item: -item[1])
    following = next((f"{label} {value:.2f}" for label, value in others if label not in chosen), "")
    return (f"{score:.2f}" if score is not None else ""), following


WRITERS: dict[str, Callable[[Iterable["Prediction"], TextIO], None]] = {
    "table": write_table,
    "jsonl": write_jsonl,
    "csv": write_csv,
}
"""Formats by name."""
