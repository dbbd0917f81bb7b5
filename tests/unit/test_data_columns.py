import pytest

from finetune_api.data import Data
from finetune_api.failures import ColumnMissing
from finetune_trainer.data.columns import check_columns, suggest
from finetune_trainer.data.shapes.labelled_text import LabelledText


def roles(columns: dict[str, str], group_column: str = "") -> dict[str, str]:
    data = Data.model_validate({"train": [{"uri": "file://./rows.csv"}], "columns": columns})
    return LabelledText(data, group_column).roles


def test_a_role_takes_the_column_of_its_name_unless_told_otherwise() -> None:
    assert roles({}) == {"text": "text", "label": "label"}
    assert roles({"text": "review", "text_pair": "title", "group": "lang"}) == {
        "text": "review",
        "label": "label",
        "text_pair": "title",
        "group": "lang",
    }
    assert roles({"group": "lang"}, group_column="country")["group"] == "country"


@pytest.mark.parametrize(
    ("role", "wanted", "found", "expected"),
    [
        ("text", "text", ["id", "Text"], "Text"),
        ("text", "reviw", ["review", "title"], "review"),
        ("text", "text", ["id", "tweet", "user"], "tweet"),
        ("text", "text", ["id", "Sentence ", "user"], "Sentence "),
        ("label", "label", ["id", "Labels"], "Labels"),
        ("label", "label", ["review", "sentiment"], "sentiment"),
        ("label", "label", ["x", "y"], "y"),
        ("label", "label", ["a", "b"], ""),
    ],
)
def test_suggestions(role: str, wanted: str, found: list[str], expected: str) -> None:
    assert suggest(role, wanted, found) == expected


@pytest.mark.causes("ColumnMissing")
def test_missing_columns_come_with_the_yaml_to_write() -> None:
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text": "text", "label": "label"}, ["id", "review", "star rating"], "rows.csv")
    first, second = caught.value.problems
    assert first.where == "spec.data.columns.text"
    assert first.message == "no column 'text' in rows.csv; its columns are: 'id', 'review', 'star rating'"
    assert second.where == "spec.data.columns.label"
    assert second.hint == 'write  data.columns: {text: review, label: "star rating"}'


def test_names_that_yaml_would_misread_are_quoted() -> None:
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text_pair": "texxt pair"}, ["text pair"], "rows.csv")
    assert caught.value.problems[0].hint == 'write  data.columns: {textPair: "text pair"}'
    assert caught.value.problems[0].where == "spec.data.columns.textPair"


def test_a_file_without_a_header_line_is_guessed() -> None:
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text": "text"}, ["I love this film", "1"], "rows.csv")
    assert "header line" in caught.value.problems[0].hint
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text": "text"}, ["I love this film", "1"], "rows.json")
    assert "header line" not in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("id^text^label", 'set delimiter: "^" for this source'),
        ("text label", 'set delimiter: " " for this source'),
        ("text\x01label", 'set delimiter: "\\x01" for this source'),
        ("text,label", 'set delimiter: "," for this source, or remove the quotes around whole lines'),
    ],
)
def test_a_header_in_one_field_is_told_with_its_separator(header: str, advice: str) -> None:
    assert hint_of([header], [{header: "a"}]) == f"the header line is one field: {advice}"


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["# exported by a tool"], [{"# exported by a tool": "# 2 rows"}, {"# exported by a tool": 'text,"label"'}]),
        (["Tickets", "all"], [{"Tickets": "text", "all": "label"}, {"Tickets": "hello", "all": "a"}]),
        (["Tickets", ""], [{"Tickets": "text", "": ""}]),
    ],
)
def test_lines_above_the_header_are_told(names: list[str], rows: list[dict[str, str]]) -> None:
    assert hint_of(names, rows) == "a line further down has these names: remove the lines above it"


def test_cells_that_are_called_like_a_column_are_no_header() -> None:
    rows = [{"kind": "text", "body": "hello"}]
    assert hint_of(["kind", "body"], rows) == "write  data.columns: {text: body}"


def hint_of(names: list[str], rows: list[dict[str, str]]) -> str:
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text": "text", "label": "label"}, names, "rows.csv", rows=rows)
    return caught.value.problems[-1].hint


def test_names_of_several_words_are_suggested_by_a_word() -> None:
    found = ["Nr.", "Message Text (en)", "Class / Label"]
    assert suggest("text", "text", found) == "Message Text (en)"
    assert suggest("label", "label", found) == "Class / Label"
    assert suggest("label", "label", ["the old label on my parcel was wrong", "a"]) == ""
