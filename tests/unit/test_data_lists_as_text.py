"""Lists in cells of text: JSON, Python, and what NumPy prints, for words, tags, several labels and messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import Data
from finetune_api.failures import TooManyBadRows
from finetune_api.tasks import Task
from finetune_trainer.data import prepare
from finetune_trainer.data.label_cells import as_list
from finetune_trainer.data.list_cells import why_no_list
from finetune_trainer.storage import Site

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Tony", "Leslie", "Frances", "Alan", "Radia")
PLACES = ("Delft", "Austin", "Kiel", "Oslo", "Lund", "Turin", "Graz", "Basel", "Ghent", "Cork", "Porto", "Vigo")


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_what_numpy_prints_of_texts_is_read_back(words: list[str]) -> None:
    for array in (np.asarray(words, dtype=object), np.asarray(words)):
        assert as_list(str(array)) == array.tolist()
        assert as_list(repr(array)) == array.tolist()


@pytest.mark.parametrize("array", [np.arange(30), np.arange(3) / 4, -np.arange(3.0), np.eye(3, dtype=int)])
def test_what_numpy_prints_of_numbers_is_read_back(array: Any) -> None:
    assert as_list(str(array)) == array.tolist()


def test_what_pandas_and_datasets_write_of_nested_arrays() -> None:
    turns = [{"role": "user", "content": "the ship's 'bell'"}, {"role": "assistant", "content": 'rings\nat "noon"'}]
    assert as_list(str(np.asarray(turns, dtype=object))) == turns
    nested = np.empty(2, dtype=object)
    nested[:] = [np.asarray(["a", "b"], dtype=object), np.asarray([], dtype=object)]
    assert as_list(str(nested)) == [["a", "b"], []]
    assert as_list(str([np.str_("a"), np.int64(2), np.float64(0.5), np.bool_(True)])) == ["a", 2, 0.5, True]
    assert as_list("[ True False]") == [True, False]
    assert as_list("[nan 1.]") == [None, 1.0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("['a' 'b', 'c']", "a comma is missing"),
        ("['a', 'b' 'c']", "a comma is missing"),
        ("['a''b']", "a comma is missing"),
        ("[('a' 'b')]", "a comma is missing"),
        ("[{'role': 'user' 'content'}]", "a comma is missing"),
        (str(np.arange(2000)), "NumPy left items out"),
        ("['a', ..., 'z']", "NumPy left items out"),
        ("[a b]", ""),
        ("[NSFW]", ""),
        ("[1 - 2]", ""),
        ("['a'", ""),
    ],
)
def test_text_that_is_no_list_is_never_joined(text: str, why: str) -> None:
    assert as_list(text) is None
    assert why in why_no_list(text)
    assert bool(why) == bool(why_no_list(text))


def prepared(path: Path, name: str, content: str, task: Task, **spec: Any) -> Any:
    (path / name).write_text(content, encoding="utf-8")
    data = Data.model_validate({"train": [{"uri": f"file://./{name}"}], **spec})
    return prepare(data, site=Site(path), task=task)


def quoted(cell: object) -> str:
    return '"' + str(cell).replace('"', '""') + '"'


def test_words_and_tags_of_arrays_are_those_of_lists(tmp_path: Path) -> None:
    rows = [
        ([name, "of", place], ["B-PER", "O", "B-LOC"]) for name in NAMES for place in PLACES if len(name) != len(place)
    ]
    arrays = "".join(f"{quoted(np.asarray(w))},{quoted(np.asarray(t))}\n" for w, t in rows)
    lists = "".join(json.dumps({"tokens": w, "tags": t}) + "\n" for w, t in rows)
    one = prepared(tmp_path, "rows.csv", f"tokens,tags\n{arrays}", Task.TOKEN_CLASSIFICATION)
    two = prepared(tmp_path, "rows.jsonl", lists, Task.TOKEN_CLASSIFICATION)
    assert one.labels.names == two.labels.names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert one.digest == two.digest


def test_several_labels_of_arrays(tmp_path: Path) -> None:
    sets = [["calm"], ["calm", "late"], ["late"], ["wet", "calm"]]
    rows = "".join(
        f"{name} sails from {place} in the {word},{quoted(np.asarray(sets[number % 4]))}\n"
        for number, (name, place, word) in enumerate(
            (name, place, word) for name in NAMES for place in PLACES[:4] for word in ("dawn", "night")
        )
    )
    result = prepared(tmp_path, "rows.csv", f"text,label\n{rows}", Task.SEQUENCE_CLASSIFICATION)
    assert (result.labels.problem_type, result.labels.names) == ("MultiLabel", ("calm", "late", "wet"))


@pytest.mark.parametrize("task", [Task.TOKEN_CLASSIFICATION, Task.SEQUENCE_CLASSIFICATION])
def test_an_array_cut_short_is_an_invalid_example(tmp_path: Path, task: Task) -> None:
    cell = quoted("['O' 'O' ... 'O']")
    header = "tokens,tags" if task is Task.TOKEN_CLASSIFICATION else "text,label"
    first = cell if task is Task.TOKEN_CLASSIFICATION else "wind"
    content = f"{header}\n" + "".join(f"{first},{cell}\n" for _ in range(20))
    with pytest.raises(TooManyBadRows, match=r"rows\.csv:2: .*NumPy left items out"):
        prepared(tmp_path, "rows.csv", content, task)


def test_messages_of_arrays_are_those_of_lists(tmp_path: Path) -> None:
    chats = [
        [{"role": "user", "content": f"Where's {name}?"}, {"role": "assistant", "content": f'In "{place}", as ever'}]
        for name in NAMES
        for place in PLACES
    ]
    arrays = "".join(f"{quoted(np.asarray(turns, dtype=object))}\n" for turns in chats)
    lists = "".join(json.dumps({"messages": turns}) + "\n" for turns in chats)
    one = prepared(tmp_path, "rows.csv", f"messages\n{arrays}", Task.CAUSAL_LM)
    assert one.digest == prepared(tmp_path, "rows.jsonl", lists, Task.CAUSAL_LM).digest
    broken = "messages\n" + quoted("[{'role': 'user' 'content': 'x'}]") + "\n"
    with pytest.raises(TooManyBadRows, match=r"no list of messages: .*a comma is missing"):
        prepared(tmp_path, "broken.csv", broken * 3, Task.CAUSAL_LM)
