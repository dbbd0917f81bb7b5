"""Text of rows that spells special tokens (`<s>5</s>`, `<|im_end|>`): encoded as text, not as these tokens.

Where a row spells one, it is marked in the row's own strings before the prompt format writes them, so that the special
tokens of the format itself stay what they are.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from json import dumps, loads
from typing import TYPE_CHECKING, Any

from finetune_trainer.data.chat import ASSISTANT, Chat, Turn
from finetune_trainer.data.tokenising import special_tokens
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Marks around a spelled token: noncharacters, which Unicode keeps out of texts."""
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_ESCAPED = re.compile(r"\\u(fdd[01])", re.IGNORECASE)
_LEADS = ("\n", ".", "a")
"""Texts that a stretch may follow without becoming one token with them."""
_UNTOUCHED = frozenset({"type", "id", "tool_call_id"})


def special_texts(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, ...]:
    """The special tokens that a text can spell, the longest first."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    known = {str(token) for token in (*added, *tokenizer.all_special_tokens)}
    return tuple(sorted((token for token in known if token.strip()), key=lambda token: (-len(token), token)))


@lru_cache(maxsize=16)
def _pattern(texts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)) or "(?!)")


def spelled_pattern(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """Pattern that matches special tokens spelled in a text."""
    return _pattern(special_texts(tokenizer))


def spelled_in(text: str, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Special tokens that a text spells, in order."""
    return _pattern(special_texts(tokenizer)).findall(text)


def spelled_in_chats(
    rows: Sequence[Chat], form: PromptFormat, tokenizer: "PreTrainedTokenizerBase"
) -> Iterator[tuple[int, Counter[str]]]:
    """Yield row number and counts of spelled special tokens, for rows that spell any."""
    pattern = _pattern(special_texts(tokenizer))
    for number, chat in enumerate(rows):
        found = Counter(match for text in _strings(_bare(chat, form, tokenizer)) for match in pattern.findall(text))
        if found:
            yield number, found


def with_marks(rows: Sequence[Chat], form: PromptFormat, tokenizer: "PreTrainedTokenizerBase") -> list[Chat]:
    """The rows with marks around spelled special tokens, where these are to be encoded as text.

    An end of text at the end of an answer, and in a plain prompt a beginning of text at its beginning, are left out:
    the tokens themselves are put there anyway.
    """
    if not form.spelled_as_text:
        return list(rows)
    pattern = _pattern(special_texts(tokenizer))
    return [_marked(_bare(chat, form, tokenizer), pattern) for chat in rows]


def encode(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """As `special_tokens.encode`, but with marked special tokens as text."""
    plain = special_tokens.encode([text for text in texts if _OPEN not in text], tokenizer)
    rest = iter(plain)
    return [_encode_marked(_unescaped(text), tokenizer) if _OPEN in text else next(rest) for text in texts]


def _bare(chat: Chat, form: PromptFormat, tokenizer: "PreTrainedTokenizerBase") -> Chat:
    """The chat without special tokens that surround it anyway; `<s>struck</s>` has both and is text."""
    bos, eos = str(tokenizer.bos_token or ""), str(tokenizer.eos_token or "")
    if not any(token and token in turn.content for turn in chat for token in (bos, eos)):
        return chat
    turns = [_without_end(turn, bos, eos) if turn.role == ASSISTANT else turn for turn in chat]
    first = turns[0].content
    if form.is_framed and bos and turns[0].role != ASSISTANT and first.startswith(bos) and not (eos and eos in first):
        turns[0] = turns[0]._replace(content=first.removeprefix(bos))
    return Chat(tuple(turns), chat.variables)


def _without_end(turn: Turn, bos: str, eos: str) -> Turn:
    text = turn.content.rstrip()
    is_end = bool(eos) and text.endswith(eos) and text.count(eos) == 1 and text != eos
    is_pair = bool(bos) and bos != eos and bos in text
    return turn._replace(content=text.removesuffix(eos)) if is_end and not is_pair else turn


def _strings(chat: Chat) -> Iterator[str]:
    for turn in chat:
        yield turn.content
        yield turn.more
    yield chat.variables


def _marked(chat: Chat, pattern: re.Pattern[str]) -> Chat:
    if not any(pattern.search(text) or _OPEN in text or _CLOSE in text for text in _strings(chat)):
        return chat
    turns = (turn._replace(content=_mark(turn.content, pattern), more=_in_json(turn.more, pattern)) for turn in chat)
    return Chat(tuple(turns), _in_json(chat.variables, pattern))


def _in_json(text: str, pattern: re.Pattern[str]) -> str:
    return dumps(_mark(loads(text), pattern), ensure_ascii=False) if text else ""


def _mark(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(f"{_OPEN}\\g<0>{_CLOSE}", value.replace(_OPEN, "").replace(_CLOSE, ""))
    if isinstance(value, dict):
        return {key: item if key in _UNTOUCHED else _mark(item, pattern) for key, item in value.items()}
    return [_mark(item, pattern) for item in value] if isinstance(value, list) else value


def _unescaped(text: str) -> str:
    """The text with marks unescaped, where a template rendered them as JSON or Python escapes."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _encode_marked(text: str, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Encode text between special tokens as text, and genuine special tokens by their ids."""
    hidden = _pattern((*(f"{_OPEN}{token}{_CLOSE}" for token in special_texts(tokenizer)), *special_texts(tokenizer)))
    ids, begin = list[int](), 0
    for match in hidden.finditer(text):
        if match[0].startswith(_OPEN):
            continue
        ids += _as_text(text[begin : match.start()], tokenizer, is_first=begin == 0)
        ids += special_tokens.encode([match[0]], tokenizer)[0]
        begin = match.end()
    return ids + _as_text(text[begin:], tokenizer, is_first=begin == 0)


def _as_text(text: str, tokenizer: "PreTrainedTokenizerBase", *, is_first: bool) -> list[int]:
    """A stretch without special tokens; split further where the tokenizer would still find one."""
    if not text:
        return []
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    ids = _encode_stretch(_MARKED.sub(r"\1", text), tokenizer, is_first=is_first)
    if not special & set(ids):
        return ids
    found = list[int]()
    for number, part in enumerate(_broken(text)):
        found += _encode_stretch(part, tokenizer, is_first=is_first and number == 0)
    return found


def _broken(text: str) -> list[str]:
    """The text split after the first character of each marked token."""
    return [
        part for part in _MARKED.sub(lambda match: f"{match[1][0]}{_OPEN}{match[1][1:]}", text).split(_OPEN) if part
    ]


def _encode_stretch(text: str, tokenizer: "PreTrainedTokenizerBase", *, is_first: bool) -> list[int]:
    """Ids of text without special tokens. Only the first stretch may get SentencePiece's leading space."""

    def ids_of(part: str) -> list[int]:
        ids = tokenizer(part, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        return [int(token) for token in ids]

    if is_first:
        return ids_of(text)
    for lead in _LEADS:
        alone, both = ids_of(lead), ids_of(lead + text)
        if both[: len(alone)] == alone and len(both) > len(alone) and tokenizer.unk_token_id not in alone:
            return both[len(alone) :]
    return ids_of(text)
