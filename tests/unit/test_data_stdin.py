import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune_trainer.data import Row, read_rows
from finetune_trainer.storage import Site


@pytest.mark.parametrize(
    ("piped", "values"),
    [
        (b'{"text": "a"}\n{"text": "b"}\n', [{"text": "a"}, {"text": "b"}]),
        (b'[{"text": "a"}]', [{"text": "a"}]),
        (b"id;text\n1;a, b\n", [{"id": "1", "text": "a, b"}]),
        (b"\xef\xbb\xbftext\na, b\n", [{"text": "a, b"}]),
        (b"Hello, world\n\nGoodbye\r\n", [{"text": "Hello, world"}, {"text": "Goodbye"}]),
        (b"", []),
        (b"[MASK] check\n[URGENT] call me\n", [{"text": "[MASK] check"}, {"text": "[URGENT] call me"}]),
        (b"{name} asks\n", [{"text": "{name} asks"}]),
        (b"[1]\n[[Link]]\n", [{"text": "[1]"}, {"text": "[[Link]]"}]),
        (b'[\n {"text": "a"}\n]', [{"text": "a"}]),
        (b'{\n "text": "a"\n}', [{"text": "a"}]),
        (b"text, label and more\n", [{"text": "text, label and more"}]),
        (b"text, label and more\nfine\n", [{"text": "text, label and more"}, {"text": "fine"}]),
        (b"text,label\n", []),
    ],
)
def test_what_is_piped_in_is_recognised(
    monkeypatch: pytest.MonkeyPatch, piped: bytes, values: list[dict[str, object]]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(piped)))
    rows = [row for row in read_rows("-", Site(Path.cwd())) if isinstance(row, Row)]
    assert [row.values for row in rows] == values
    assert all(row.place.file == "stdin" for row in rows)


def test_rows_without_labels_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id,text\n7,hello\n")
    (row,) = read_rows("file://./new.csv", Site(tmp_path))
    assert isinstance(row, Row)
    assert row.values == {"id": "7", "text": "hello"}
    assert (row.place.file, row.place.line) == ("new.csv", 2)
