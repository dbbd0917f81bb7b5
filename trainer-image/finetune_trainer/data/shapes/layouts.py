"""Column layouts of published data sets: their roles, and the task that uses them."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from finetune_trainer.data.reading.rows import shown
from finetune_trainer.data.shapes.messages import is_chat, known_role

MESSAGES = ("messages", "conversations", "conversation")
"""Columns of chats, the usual one first: OpenAI's, ShareGPT's."""
_ANSWERED: tuple[dict[str, str], ...] = (
    {"prompt": "prompt", "completion": "completion"},
    {"prompt": "instruction", "completion": "output"},
    {"prompt": "instruction", "completion": "response"},
)
"""Columns of prompts with answers: TRL's, Alpaca's, Dolly's."""
_ASKED = ("prompt", "instruction", "question", "query")
_INPUT = ("input", "context")
_SPEAKERS, _SAID = ("role", "from", "speaker", "author"), ("content", "text", "value", "message")
_TRUTHS = ("true", "false", "1", "0", "1.0", "0.0")
_PAIRS: tuple[dict[str, str], ...] = (
    {"chosen": "chosen", "rejected": "rejected"},
    {"chosen": "preferred_output", "rejected": "non_preferred_output"},
)


def chat_column(values: Mapping[str, object]) -> str:
    """The messages column of a row; empty for none. `messages` is one whatever it holds."""
    found = (name for name in MESSAGES if name in values and (name == MESSAGES[0] or is_chat(values[name])))
    return next(found, "")


def answered_columns(found: Collection[str]) -> dict[str, str]:
    """Columns of prompt, completion and further input by role; empty for unknown names."""
    roles = next((known for known in _ANSWERED if set(known.values()) <= set(found)), {})
    if not roles:
        return {}
    return {**roles, **input_column(found, roles)}


def input_column(found: Collection[str], others: Mapping[str, str]) -> dict[str, str]:
    """The further-input column by its role, beside the others; Dolly calls it `context`."""
    names = _INPUT if others.get("prompt") == "instruction" else _INPUT[:1]
    name = next((name for name in names if name in found and name not in others.values()), "")
    return {"input": name} if name else {}


def prompt_column(found: Collection[str]) -> str:
    """The prompt column of rows to be answered; empty for none."""
    return next((name for name in _ASKED if name in found), "")


def pair_columns(found: Collection[str]) -> dict[str, str]:
    """Columns of two answers by role; empty without them."""
    return next((known for known in _PAIRS if set(known.values()) <= set(found)), {})


class Layout(NamedTuple):
    """A layout that some task trains on, or that its rows can be written from."""

    name: str
    advice: str
    is_to_rewrite: bool = False
    """Whether no setting of columns makes it readable."""


def known_layout(
    found: Collection[str], wanted: Collection[str], rows: Sequence[Mapping[str, object]] = ()
) -> Layout | None:
    """The known layout of the columns, if it is not that of the roles `wanted`; None for an unknown one.

    `rows` are some rows of the file.
    """
    return _other_layout(set(found), wanted, rows) or _layout_of_a_task(set(found), wanted)


def _other_layout(names: set[str], wanted: Collection[str], rows: Sequence[Mapping[str, object]]) -> Layout | None:
    """A layout that no task reads."""
    if any(_is_tree(cell) for row in rows[:1] for cell in row.values()):
        return Layout("trees of messages, as OpenAssistant publishes", _TREE_ADVICE, is_to_rewrite=True)
    if (judged := _judged_answers(names)) and "label" not in wanted:
        return Layout("two answers and a judgement", _judged_advice(*judged), is_to_rewrite=True)
    if "tags" in wanted and {name.casefold() for name in names} & _SENTENCE and not {"text", "tokens"} & names:
        return Layout("a row for each word", _WORD_ADVICE, is_to_rewrite=True)
    chats = next((name for name in MESSAGES if name in names), "")
    if chats and "messages" not in wanted and rows and not any(is_chat(row.get(chats)) for row in rows):
        return Layout(f"chats in another layout ({shown(rows[0].get(chats), 60)})", _CHAT_ADVICE, is_to_rewrite=True)
    return None


def _layout_of_a_task(names: set[str], wanted: Collection[str]) -> Layout | None:
    if pair_columns(names) and "chosen" not in wanted:
        return Layout("preference pairs", "the tasks Preference and RewardModel learn from them")
    if names & {"paragraphs", "qas"}:
        return Layout("articles of SQuAD", _SQUAD_ADVICE)
    if {"prompt", "completion", "label"} <= names and "chosen" in wanted:
        return Layout("KTO's answers that are judged one by one", KTO_ADVICE)
    chats = next((name for name in MESSAGES if name in names), "")
    if chats and "messages" not in wanted:
        return Layout("chats", f"the task CausalLM learns from them, with data.columns: {{messages: {chats}}}")
    if answered_columns(names) and not {"completion", "target"} & set(wanted):
        return Layout("instructions with answers", "the task CausalLM learns from them")
    return None


def _judged_answers(names: Collection[str]) -> tuple[str, str] | None:
    """Columns of two answers that are told apart by a letter or number: `human_ref_A` and `human_ref_B`."""
    for name in sorted(names):
        if (ending := _FIRST_ANSWER.fullmatch(name)) and (other := ending[1] + _NEXT[ending[2]]) in names:
            return name, other
    return None


def _judged_advice(first: str, second: str) -> str:
    shp = " (of SHP, human_ref_A where labels is 1)" if first == "human_ref_A" else ""
    return (
        f"of {first} and {second}, write the better one as chosen{shp} and the other as rejected, beside the prompt,"
        " for Preference and RewardModel; or the better one as completion for CausalLM"
    )


def _is_tree(cell: object) -> bool:
    """Whether a cell is a message with replies, each a message with replies of its own."""
    return isinstance(cell, Mapping) and isinstance(cell.get("replies"), (list, tuple))


_FIRST_ANSWER = re.compile(r"(.*(?:ref|response|answer|output|completion|conversation)s?_?)([aA01])")
_NEXT = {"a": "b", "A": "B", "0": "1", "1": "2"}
_SENTENCE = frozenset({"sentence #", "sentence_id", "sentence_idx", "sentence_no", "sent_id", "sentence id"})
_WORD_ADVICE = (
    'join the rows of each sentence to lists of words and tags, tokens ["New", "York"] and tags ["B-LOC", "I-LOC"]; or'
    " write CoNLL: word, tab and tag a line, and a blank line after each sentence"
)
_TREE_ADVICE = (
    'write a row for each way from the prompt to a last reply: {"messages": [{"role": "user", "content": "..."}, ...]};'
    " for Preference, a better and a worse reply to the same messages as chosen and rejected"
)
_CHAT_ADVICE = 'write the messages as [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
_SQUAD_ADVICE = "write a row for each question, with context, question and answers (text) beside each other"
KTO_ADVICE = (
    "no task learns from single judgements: join a good and a bad answer to one prompt to a pair (chosen, rejected) for"
    " Preference, or keep the good ones alone for CausalLM"
)


def is_kto(values: Mapping[str, object]) -> bool:
    """Whether a row is a KTO example: one answer, to a prompt or ending a chat, with a truth value."""
    if {"prompt", "completion"} <= values.keys():
        return _is_truth(values.get("label"))
    return bool(chat_column(values)) and (_is_truth(values.get("kto_tag")) or isinstance(values.get("label"), bool))


def _is_truth(cell: object) -> bool:
    return cell in (0, 1) or (isinstance(cell, str) and cell.strip().lower() in _TRUTHS)


MESSAGE_ADVICE = (
    'join the messages of each conversation to one row: {"messages": [{"role": "user", "content": "..."}, ...]}; to'
    " learn them one by one as raw text, name data.columns: {text: ...}"
)


def is_single_message(values: Mapping[str, object]) -> bool:
    """Whether a row is a single message of a chat, as in OpenAssistant and exports of chat programs."""
    speaker = next((values[name] for name in _SPEAKERS if name in values), None)
    return bool(known_role(speaker)) and any(isinstance(values.get(name), str) for name in _SAID)
