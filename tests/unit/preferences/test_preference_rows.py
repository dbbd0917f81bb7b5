"""Rows with two answers: texts and chats, prompts of their own or in the answers, and rows that can't be used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.data import Data
from finetune_api.failures import ColumnMissing, TooManyBadRows
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.chat import Chat
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.storage import Site

Lines = Callable[[str, list[dict[str, Any]]], str]
PLAIN: list[dict[str, Any]] = [
    {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
    {"prompt": "Wie  geht's?", "chosen": "Gut.\n  Danke!", "rejected": "[1, 2]"},
]


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ASKED = [message("system", "Be kind."), message("user", "Hi")]
HELLO, WHAT = message("assistant", "Hello!"), message("assistant", "What?")


def prepared(uri: str, **data: Any) -> Prepared:
    spec = {"train": [{"uri": uri}], "split": {"validation": 0, "test": 0}, "maxBadRowRatio": 0.0, **data}
    return prepare(Data.model_validate(spec), site=Site(Path("/")), task=Task.PREFERENCE)


def answers(found: Prepared) -> list[tuple[str, str]]:
    return [(Answers(label).chosen, Answers(label).rejected) for label in found.splits["train"].labels]


def test_texts_are_taken_as_they_are(lines: Lines) -> None:
    found = prepared(lines("rows.jsonl", PLAIN))
    assert found.splits["train"].turns == [Chat.of(("user", "2 + 2?")), Chat.of(("user", "Wie  geht's?"))]
    assert answers(found) == [("4", "5"), ("Gut.\n  Danke!", "[1, 2]")]
    assert found.report.columns == {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}


def test_columns_may_have_other_names(lines: Lines) -> None:
    rows = [{"frage": row["prompt"], "besser": row["chosen"], "schlechter": row["rejected"]} for row in PLAIN]
    columns = {"prompt": "frage", "chosen": "besser", "rejected": "schlechter"}
    assert answers(prepared(lines("rows.jsonl", rows), columns=columns)) == answers(prepared(lines("x.jsonl", PLAIN)))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED, "chosen": [HELLO], "rejected": [WHAT]},
        {"prompt": ASKED, "chosen": [*ASKED, HELLO], "rejected": [*ASKED, WHAT]},
        {"prompt": ASKED, "chosen": "Hello!", "rejected": "What?"},
        {"chosen": [*ASKED, HELLO], "rejected": [*ASKED, WHAT]},
        {"chosen": json.dumps([*ASKED, HELLO]), "rejected": json.dumps([*ASKED, WHAT])},
    ],
    ids=["messages", "whole chats", "texts", "no prompt", "JSON text"],
)
def test_chats_come_in_all_the_ways_that_data_sets_have_them(lines: Lines, row: dict[str, Any]) -> None:
    other = {
        **{name: [message("user", "Bye")] for name in ("prompt",) if name in row},
        "chosen": [message("user", "Bye"), HELLO],
        "rejected": [message("user", "Bye"), WHAT],
    }
    found = prepared(lines("rows.jsonl", [row, other]))
    assert found.splits["train"].turns == [
        Chat.of(("system", "Be kind."), ("user", "Hi")),
        Chat.of(("user", "Bye")),
    ]
    assert answers(found) == [("Hello!", "What?")] * 2
    assert "prompt" not in found.report.columns


def test_a_text_for_a_prompt_goes_with_chats_for_answers(lines: Lines) -> None:
    asked = message("user", "Hi")
    rows = [{"prompt": "Hi", "chosen": [asked, HELLO], "rejected": [asked, WHAT]}, PLAIN[0]]
    assert answers(prepared(lines("rows.jsonl", rows)))[0] == ("Hello!", "What?")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Hi", "chosen": "a", "rejected": " a\n"}, "chosen and rejected are the same"),
        ({"prompt": "Hi", "chosen": "a", "rejected": ""}, "rejected is empty"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "prompt is empty"),
        ({"prompt": ASKED, "chosen": "a", "rejected": "b"}, "prompt is no text"),
        ({"prompt": "Hi", "chosen": [*ASKED, HELLO], "rejected": "b"}, "chosen begins with other messages"),
        ({"prompt": "Hi", "chosen": ASKED, "rejected": "b"}, "chosen does not end with a message of the assistant"),
    ],
)
def test_rows_that_cant_be_used_are_told(lines: Lines, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(TooManyBadRows) as failure:
        prepared(lines("rows.jsonl", [*PLAIN, row]))
    assert reason in failure.value.problems[1].message
    assert failure.value.problems[1].where.endswith("rows.jsonl:3")


def test_answers_to_unlike_prompts_are_no_pair(lines: Lines) -> None:
    whole = {"chosen": [*ASKED, HELLO], "rejected": [*ASKED, WHAT]}
    with pytest.raises(TooManyBadRows, match="the answers are to unlike prompts"):
        prepared(lines("rows.jsonl", [whole, whole | {"rejected": [ASKED[1], WHAT]}]))


def test_a_broken_first_row_does_not_decide_what_prompts_are(lines: Lines) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "", "chosen": "a", "rejected": "b"},
        *({"prompt": ASKED, "chosen": "a", "rejected": "b"},) * 2,
    ]
    found = prepared(lines("rows.jsonl", rows), maxBadRowRatio=0.5)
    assert (found.report.bad_rows, found.report.duplicates_dropped) == (1, 1)


def test_a_missing_column_is_told_with_what_it_may_be_called(lines: Lines) -> None:
    with pytest.raises(ColumnMissing, match="rejected"):
        prepared(lines("rows.jsonl", [{"prompt": "a", "chosen": "b", "worse": "c"}] * 2))


def test_pairs_both_ways_round_contradict_each_other_and_further_pairs_do_not(lines: Lines) -> None:
    first = PLAIN[0]
    turned = first | {"chosen": first["rejected"], "rejected": first["chosen"]}
    found = prepared(lines("rows.jsonl", [first, turned, first | {"rejected": "6"}, first]))
    assert found.report.conflicting_labels == 1
    assert found.report.duplicates_dropped == 1


def spec(**blocks: Any) -> Spec:
    base = {"task": "Preference", "model": {"uri": "hf://a/b"}, "output": {"uri": "file://out"}}
    return Spec.model_validate({**base, "data": {"train": [{"uri": "file://x.jsonl"}]}, **blocks})


@pytest.mark.parametrize(
    ("blocks", "where", "words"),
    [
        ({"training": {"labelSmoothing": 0.5}}, "labelSmoothing", "wrong way round"),
        ({"training": {"labelSmoothing": 0.1, "preference": {"loss": "IPO"}}}, "labelSmoothing", "can't be smoothed"),
        ({"training": {"lossOn": "All"}}, "lossOn", "no use"),
        ({"task": "RewardModel", "training": {"preference": {}}}, "preference", "it is for Preference"),
        ({"task": "RewardModel", "evaluation": {"generation": {"numBeams": 2}}}, "generation", "no use"),
        ({"evaluation": {"metric": "accuracy"}}, "metric", "rewardAccuracy"),
    ],
)
def test_settings_that_mean_nothing_are_told(blocks: dict[str, Any], where: str, words: str) -> None:
    (problem,) = semantic_problems(spec(**blocks))
    assert problem.where.endswith(where)
    assert words in f"{problem.message} {problem.hint}"


def test_settings_that_fit_are_fine() -> None:
    assert semantic_problems(spec(training={"labelSmoothing": 0.1, "preference": {"loss": "SimPO", "margin": 2}})) == []
    assert semantic_problems(spec(task="RewardModel", training={"labelSmoothing": 0.1})) == []
