"""Columns by role, and suggestions for misspelt column names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from pydantic.alias_generators import to_camel

from finetune_api.data import DataFormat
from finetune_api.failures import ColumnMissing, Problem
from finetune_api.file_formats import known_format
from finetune_trainer.data.header_checks import header_advice
from finetune_trainer.data.label_columns import flag_columns
from finetune_trainer.data.reading.rows import shown
from finetune_trainer.data.text_pairs import second_text

_SYNONYMS = {
    "text": (
        "text", "sentence", "review", "content", "body", "tweet", "message", "comment", "document", "utterance",
        "question", "query", "description", "title", "headline", "input", "prompt", "post", "abstract", "summary",
        "sentence1", "premise", "text1", "text_a", "data", "x",
    ),
    "text_pair": ("text_pair", "sentence2", "hypothesis", "text2", "text_b", "context", "answer", "passage"),
    "label": (
        "label", "labels", "sentiment", "target", "class", "category", "categories", "intent", "topic", "y", "score",
        "rating", "stars", "tag", "tags", "type", "emotion", "polarity", "output", "toxic", "spam", "label_text",
    ),
    "tokens": ("tokens", "words", "token", "word", "text", "sentence"),
    "tags": ("tags", "ner_tags", "pos_tags", "chunk_tags", "labels", "label", "ner", "upos", "tag"),
    "prompt": ("prompt", "instruction", "question", "query", "problem", "input", "text", "user", "human"),
    "chosen": ("chosen", "preferred", "better", "best", "winner", "accepted", "positive", "response_chosen"),
    "rejected": ("rejected", "dispreferred", "worse", "worst", "loser", "refused", "negative", "response_rejected"),
    "completion": (
        "completion", "output", "response", "answer", "target", "solution", "answers", "assistant", "bot", "reply",
    ),
    "messages": ("messages", "conversation", "conversations", "chat", "dialogue", "dialog", "turns"),
    "input": ("input", "source", "document", "article", "text", "src", "source_text", "passage", "dialogue", "mr"),
    "target": (
        "target", "output", "answer", "summary", "response", "translation", "completion", "tgt", "target_text", "label",
        "highlights", "ref", "answers", "title", "text",
    ),
    "question": ("question", "query", "prompt", "questions"),
    "context": ("context", "passage", "paragraph", "document", "article", "text", "evidence", "background"),
    "system": ("system", "system_prompt", "system_message", "instructions"),
    "history": ("history", "context", "previous"),
    "tools": ("tools", "functions", "available_tools"),
    "group": ("group", "identity", "segment", "source", "language", "country"),
    "difficulty": ("difficulty", "level", "grade", "hardness", "length", "rank"),
}  # fmt: skip
_CLOSE = 0.75
_FEW = 4
_WORD = re.compile(r"[^\W_]+")
_RAW = "text: ..."


def check_columns(
    wanted: Mapping[str, str],
    found: Iterable[str],
    file: str,
    inner: Sequence[str] = (),
    *,
    layout: str = "",
    rows: Sequence[Mapping[str, object]] = (),
    may_guess: bool = True,
) -> None:
    """Raise `ColumnMissing` for each role whose column is not in `found`, with a suggestion.

    `inner` are paths to what is in cells, `layout` says what the columns look like where that is known; `rows` are
    some rows of the file, `may_guess` whether columns that may be meant are named.
    """
    names = [name for name in found if name]
    missing = [role for role, column in wanted.items() if column not in names]
    if not missing:
        return
    free = [name for name in names if name not in wanted.values()]
    guessed = _parts_of_a_question(missing, wanted, names) or _guesses(missing, wanted, free)
    better = _with_second(_inside(guessed, missing, wanted, inner), wanted, free)
    advice = header_advice(names, [wanted[role] for role in missing], rows)
    layout, better = (advice, {}) if advice else (layout, better if may_guess else {})
    flags = [name for name in flag_columns(rows) if name in free] if missing == ["label"] else []
    if len(flags) > 1:
        layout, better = _label_columns(flags), {}
    hint = "; ".join(
        filter(None, (layout, _yaml(better) if better else "" if layout else _no_guess(names, wanted, file)))
    )
    listed = ", ".join(shown(name, 30) for name in names[:20]) or "none"
    raise ColumnMissing(
        *(
            Problem(
                f"no column {shown(wanted[role])} in {file}; its columns are: {listed}",
                f"spec.data.columns.{to_camel(role)}",
                hint if role == missing[-1] else "",
            )
            for role in missing
        )
    )


def _guesses(missing: list[str], wanted: Mapping[str, str], free: list[str]) -> dict[str, str]:
    return {role: guess for role in missing if (guess := suggest(role, wanted[role], free))}


def _with_second(better: dict[str, str], wanted: Mapping[str, str], free: list[str]) -> dict[str, str]:
    """The guesses, with the second text where the first belongs to a known pair and a label is expected."""
    second = second_text(better.get("text", ""), free) if "label" in wanted and "text_pair" not in wanted else ""
    return {**better, "text_pair": second} if second else better


def _inside(
    guessed: Mapping[str, str], missing: Iterable[str], wanted: Mapping[str, str], inner: Sequence[str]
) -> dict[str, str]:
    """The guesses, with paths into cells that are objects; roles without a guess take unclaimed paths."""
    better = dict[str, str]()
    for role in missing:
        if "question" in guessed and role not in guessed:
            continue  # its parts take its place
        own = guessed.get(role, "")
        within = [path for path in inner if path.startswith(f"{own}.")] if own else list(inner)
        free = [path for path in within if path not in better.values()]
        texts = [path for path in free if path.endswith((f".{wanted[role].rpartition('.')[2]}", ".text"))]
        if not within:
            better |= {role: own} if own else {}
        elif texts or free:
            better[role] = (texts or free)[0]
    return {**{role: column for role, column in guessed.items() if role not in missing}, **better}


def _parts_of_a_question(missing: list[str], wanted: Mapping[str, str], names: list[str]) -> dict[str, str]:
    """Columns by role for a file with question and context where an input is expected."""
    parts = {"question": "question", "context": "context"}
    if "input" not in missing or not parts.keys() <= set(names):
        return {}
    free = [name for name in names if name not in parts]
    return {
        **parts,
        **({"target": wanted["target"]} if "target" not in missing else _guesses(["target"], wanted, free)),
    }


def suggest(role: str, wanted: str, found: list[str]) -> str:
    """The column in `found` that `role` most likely means, or an empty string.

    Tried in turn: the same name in another case, a name spelt nearly so, a usual name for the role, a usual name as
    one of a few words.
    """
    by_plain = {_plain(name): name for name in reversed(found)}
    if _plain(wanted) in by_plain:
        return by_plain[_plain(wanted)]
    close = get_close_matches(_plain(wanted), by_plain, n=1, cutoff=_CLOSE)
    if close:
        return by_plain[close[0]]
    usual = _SYNONYMS.get(role, ())
    exact = next((by_plain[name] for name in map(_plain, usual) if name in by_plain), "")
    return exact or next((name for word in usual for name in found if word in _words(name)), "")


def _words(name: str) -> list[str]:
    """The words of a compound name; empty for longer texts, such as data rows in place of a header."""
    words = _WORD.findall(name.casefold())
    return words if 1 < len(words) <= _FEW else []


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _yaml(better: Mapping[str, str]) -> str:
    if any("[" in role for role in better):
        return f"did you mean {', '.join(shown(column) for column in better.values())}?"
    pairs = ", ".join(f"{to_camel(role)}: {_scalar(column)}" for role, column in better.items())
    return f"write  data.columns: {{{pairs}}}"


def _label_columns(flags: list[str]) -> str:
    return (
        f"write  data.columns: {{labels: [{', '.join(map(_scalar, flags))}]}}  for labels in columns of zeros and ones,"
        " or name one column in label"
    )


def _scalar(name: str) -> str:
    return name if name.replace("_", "").replace(".", "").isalnum() and not name[0].isdigit() else f'"{name}"'


def _no_guess(names: list[str], wanted: Mapping[str, str], file: str) -> str:
    may_lack_header = known_format(file) in (None, DataFormat.CSV)
    if may_lack_header and any(" " in name.strip() or name.isdigit() for name in names):
        return "does the file begin with a header line? If not, add one: text,label"
    roles = ", ".join(f"{to_camel(role)}: ..." for role in wanted if role not in ("group", "difficulty"))
    language = "; or for a language model {messages: ...} or {prompt: ..., completion: ...}" if roles == _RAW else ""
    return f"name them:  data.columns: {{{roles}}}{language}"
