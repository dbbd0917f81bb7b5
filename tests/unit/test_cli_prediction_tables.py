"""Predictions on terminals of any width and encoding: answers are never cut, whatever the length of the texts."""

import io
import json
from typing import Any

import pytest
from rich.cells import cell_len

from finetune_trainer.cli.tables import write_csv, write_jsonl, write_table
from finetune_trainer.prediction.masked_lm import FilledText
from finetune_trainer.prediction.seq2seq import WrittenText
from finetune_trainer.prediction.sequence_classification import ClassifiedText

LONG = "the parcel came back twice and nobody could say why it had been sent to the wrong address again " * 4
WIDE = "包裹退回了两次,没有人能说出原因" * 12
LABELS = ["feature_request_for_the_mobile_app", "billing"]


def classified(text: str, label: Any = LABELS[0], **fields: Any) -> ClassifiedText:
    scores = {LABELS[0]: 0.91, LABELS[1]: 0.09}
    return ClassifiedText(text, label, 0.91, **{"scores": scores, **fields})


def table(rows: list[Any], width: int, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    write_table(rows, stream)
    stream.flush()
    return raw.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("text", ["short", LONG, WIDE])
def test_labels_and_scores_stay_whole_in_one_line(text: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table([classified(text)] * 2, width, monkeypatch)
    rows = [line for line in lines if LABELS[0] in line]
    assert len(rows) == 2
    assert all("0.91" in row and "0.09" in row for row in rows)
    assert all(cell_len(line) <= width for line in lines)
    assert text[:5] in rows[0]


@pytest.mark.parametrize("width", [20, 40])
@pytest.mark.parametrize("text", ["short", LONG, WIDE])
def test_a_narrow_terminal_folds_answers_and_never_cuts_them(
    text: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = table([classified(text)], width, monkeypatch)
    assert all(cell_len(line) <= width for line in lines)
    joined = "".join(line.strip("│┃ ") for line in lines)
    assert LABELS[0] in joined
    assert "0.91" in joined
    assert text[:5] in joined


@pytest.mark.parametrize("width", [40, 80])
def test_several_labels_numbers_and_pairs(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"label_number_{number}" for number in range(12)]
    rows = [
        ClassifiedText(LONG, many, None, dict.fromkeys(many, 0.75)),
        ClassifiedText(LONG, -12.25, pair=WIDE),
        classified(LONG, pair=LONG),
    ]
    for row in rows:
        lines = table([row], width, monkeypatch)
        words = {word.strip("│┃,") for line in lines for word in line.split()}
        joined = "".join(line.strip("│┃ ") for line in lines)
        assert all(cell_len(line) <= width for line in lines)
        for label in row.label if isinstance(row.label, list) else [str(row.label)]:
            assert label in words or label in joined


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(
    "row",
    [
        WrittenText({"question": LONG, "context": WIDE}, "it was sent to the wrong address"),
        FilledText(LONG, LONG, ((("address", 0.5), ("parcel", 0.25), ("box", 0.1)),)),
    ],
)
def test_what_is_written_is_not_cut(row: Any, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table([row], width, monkeypatch)
    assert all(cell_len(line) <= width for line in lines)
    last = list(row.as_cells().values())[-1]
    words = {word.strip("│┃,;") for line in lines for word in line.split()}
    assert {word.strip(",;") for word in last.split()} <= words


def test_what_the_encoding_can_not_hold_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "h\u00e9llo \N{GRINNING FACE}"
    lines = table([classified(text)], 80, monkeypatch, "latin-1")
    assert any("h\u00e9llo" in line and r"\U0001f600" in line for line in lines)
    assert len({len(line) for line in lines}) == 1, "the frame is straight"
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace") as stream:
        write_jsonl([classified(text)], stream)
        stream.flush()
        assert json.loads(raw.getvalue())["text"] == text
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace") as stream:
        write_csv([classified(text)], stream)
        stream.flush()
        assert rb"h\xe9llo \U0001f600" in raw.getvalue()
