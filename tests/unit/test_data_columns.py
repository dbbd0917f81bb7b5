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
    assert second.hint == "write  data.columns: {text: review}"


def test_names_that_yaml_would_misread_are_quoted() -> None:
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text_pair": "texxt pair"}, ["text pair"], "rows.csv")
    assert caught.value.problems[0].hint == 'write  data.columns: {textPair: "text pair"}'
    assert caught.value.problems[0].where == "spec.data.columns.textPair"


def test_a_file_without_a_header_line_is_guessed() -> None:
    with pytest.raises(ColumnMissing) as caught:
        check_columns({"text": "text"}, ["I love this film", "1"], "rows.csv")
    assert "header line" in caught.value.problems[0].hint
