"""Prompts with examples, to the letter: what the base model is shown, and what of it counts."""

from dataclasses import replace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from finetune_api.data_report import DataReport, Place
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.data.chat import Chat, Turn
from finetune_trainer.data.few_shot_examples import choose_examples
from finetune_trainer.data.labels import NO_LABELS
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.tasks.causal_lm import CausalLM
from finetune_trainer.tasks.few_shot import FewShotRows

TRAIN = [("Who ran?", "Lily ran."), ("Who sat?", "Tom sat."), ("Who ate?", "Max ate.")]
TEST = [("Who hid?", "Sue hid."), ("Who sat?", "Tim sat.")]
Rows = list[tuple[str, str]]


def examples(rows: Rows, sources: list[int] | None = None) -> Examples:
    turns = [Chat.of(("user", asked), ("assistant", answer)) for asked, answer in rows]
    places = [Place(file="rows.jsonl", line=number) for number in range(1, len(rows) + 1)]
    return Examples(
        [asked for asked, _ in rows],
        None,
        [answer for _, answer in rows],
        NO_LABELS,
        places,
        turns=turns,
        sources=sources or [0] * len(rows),
    )


def task(
    train: Rows = TRAIN, test: Rows = TEST, *, columns: tuple[str, ...] = ("prompt", "completion"), **blocks: Any
) -> CausalLM:
    spec = {
        "task": "CausalLM",
        "model": {"uri": "file:///m"},
        "data": {"train": [{"uri": "file:///rows.jsonl"}], **blocks.pop("data", {})},
        "evaluation": {"generation": {"maxNewTokens": 8}},
        "output": {"uri": "file:///o"},
        **blocks,
    }
    report = DataReport(files=[], rows_read=0, bad_rows=0, columns={name: name for name in columns})
    data = Prepared({"train": examples(train), "test": examples(test)}, NO_LABELS, report, "")
    return CausalLM(Spec.model_validate(spec), data)


def parts(tokens: Tokens, row: int, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """What a row shows, and what of it counts; special tokens show."""
    assert tokens.labels is not None
    place = slice(int(tokens.offsets[row]), int(tokens.offsets[row + 1]))
    ids, counted = tokens.ids[place], tokens.labels[place] != IGNORE_INDEX
    return tokenizer.decode(ids[~counted].tolist()), tokenizer.decode(ids[counted].tolist())


def shown(one: CausalLM, chosen: list[list[int]], tokenizer: PreTrainedTokenizerBase, limit: int = 512) -> FewShotRows:
    return one.tokenise_behind("test", chosen, tokenizer, 128, limit)


def test_prompts_stand_in_a_row_with_a_blank_line_between(stories: PreTrainedTokenizerBase) -> None:
    found = shown(task(), [[0, 2], [1]], stories)
    assert parts(found.tokens, 0, stories) == (
        "<s> Who ran?\nLily ran.\n\nWho ate?\nMax ate.\n\nWho hid?\n",
        "Sue hid.</s>",
    )
    assert parts(found.tokens, 1, stories) == ("<s> Who sat?\nTom sat.\n\nWho sat?\n", "Tim sat.</s>")
    assert (found.counts, found.mark) == ([2, 1], "\n\n")


def test_the_template_of_the_job_holds_for_examples_too(stories: PreTrainedTokenizerBase) -> None:
    found = shown(task(data={"promptTemplate": "Q: {prompt} A: "}), [[0], []], stories)
    assert parts(found.tokens, 0, stories)[0] == "<s> Q: Who ran? A: Lily ran.\n\nQ: Who hid? A: "
    assert parts(found.tokens, 1, stories)[0] == "<s> Q: Who sat? A: "


def test_answers_with_blank_lines_are_parted_by_a_mark(stories: PreTrainedTokenizerBase) -> None:
    found = shown(task(train=[("Who ran?", "Lily.\n\nShe ran.")]), [[0], [0]], stories)
    assert found.mark == "\n\n###\n\n"
    assert parts(found.tokens, 0, stories)[0] == "<s> Who ran?\nLily.\n\nShe ran.\n\n###\n\nWho hid?\n"


def test_in_a_chat_examples_are_earlier_messages(chatty: PreTrainedTokenizerBase) -> None:
    system = Turn("system", "Be brief.")
    chats = task(columns=("messages",), training={"lossOn": "Assistant"})
    splits = {
        name: replace(rows, turns=[Chat.of(system, *turns) for turns in rows.turns])
        for name, rows in chats.data.splits.items()
    }
    follow_up = splits["test"].turns[1].then(Turn("user", "And then?"), Turn("assistant", "He ran."))
    splits["test"] = replace(splits["test"], turns=[splits["test"].turns[0], follow_up])
    found = shown(replace(chats, data=replace(chats.data, splits=splits)), [[2], [0]], chatty)
    said, counted = parts(found.tokens, 0, chatty)
    assert "Be brief." in said
    assert said.count("Be brief.") == 1
    assert said.index("Who ate?") < said.index("Max ate.") < said.index("Who hid?")
    assert "".join(counted.split()) == "Suehid.</s>"
    said, counted = parts(found.tokens, 1, chatty)
    assert "Lily ran." in said, "the answer of an example is shown, and does not count"
    assert "".join(counted.split()) == "Timsat.</s>Heran.</s>", "all answers of the row itself count"


def test_a_row_shows_as_many_as_the_context_holds(stories: PreTrainedTokenizerBase) -> None:
    whole = shown(task(), [[0, 1, 2], [0, 1, 2]], stories)
    assert whole.counts == [3, 3]
    prompt = len(stories(whole.mark.join(["Who ran?\nLily ran.", "Who sat?\nTom sat.", "Who hid?\n"]))["input_ids"])
    tight = shown(task(), [[0, 1, 2], [0, 1, 2]], stories, limit=prompt + 10)
    assert tight.counts[0] == 2
    assert parts(tight.tokens, 0, stories)[0] == "<s> Who ran?\nLily ran.\n\nWho sat?\nTom sat.\n\nWho hid?\n"
    assert int(tight.tokens.lengths.max()) <= prompt + 10


def test_a_row_without_room_is_the_row_without_examples(stories: PreTrainedTokenizerBase, tmp_path: Any) -> None:
    long = [("Tell me of the day when Lily went to the park. " * 20, "She ran and ran and ran. " * 20)]
    one = task(test=long)
    found = one.tokenise_behind("test", [[0, 1]], stories, 128, 400)
    usual = one.tokenise("test", stories, 128, tmp_path, lambda _rows: None)
    assert found.counts == [0]
    assert found.tokens.ids.tolist() == usual.ids.tolist()
    assert usual.labels is not None
    assert found.tokens.labels is not None
    assert found.tokens.labels.tolist() == usual.labels.tolist()


def test_what_counts_of_an_answer_is_the_same_with_and_without_examples(
    stories: PreTrainedTokenizerBase, tmp_path: Any
) -> None:
    one = task(test=[("Tell me.", "She ran and ran and ran. " * 30)])
    found = one.tokenise_behind("test", [[0]], stories, 64, 2_000)
    usual = one.tokenise("test", stories, 64, tmp_path, lambda _rows: None)
    assert found.counts == [1]
    assert parts(found.tokens, 0, stories)[1] == parts(usual, 0, stories)[1]


def test_the_same_examples_for_all_rows_and_none_of_itself() -> None:
    train = [(f"Question {number}", "yes") for number in range(40)]
    test = [*[(f"Other {number}", "no") for number in range(5)]]
    (first, *others) = choose_examples(examples(train), examples(test), 4, seed=7)
    assert len(set(first)) == 4
    assert all(other == first for other in others)
    assert choose_examples(examples(train), examples(test), 4, seed=8)[0] != first
    leaked = [train[first[1]]]
    (found,) = choose_examples(examples(train), examples(leaked), 4, seed=7)
    assert first[1] not in found
    assert len(found) == 4
    assert found[:3] == [first[0], *first[2:]]


def test_an_input_is_shown_once() -> None:
    train = [("The same", f"answer {number}") for number in range(9)] + [("Another", "yes")]
    (found,) = choose_examples(examples(train), examples([("Own", "no")]), 5, seed=1)
    assert sorted(train[row][0] for row in found) == ["Another", "The same"]


def test_rows_of_several_sources_see_examples_of_their_own() -> None:
    train = examples([(f"Question {number}", "yes") for number in range(40)], sources=[n % 2 for n in range(40)])
    test = examples([("A", "yes"), ("B", "yes")], sources=[1, 0])
    chosen = choose_examples(train, test, 3, seed=2, of_its_source=True)
    assert [{row % 2 for row in few} for few in chosen] == [{1}, {0}]


@pytest.mark.parametrize("wanted", [1, 3])
def test_fewer_rows_than_examples(wanted: int) -> None:
    (found,) = choose_examples(examples(TRAIN[:1]), examples([("Own", "no")]), wanted, seed=1)
    assert found == [0]
