"""Entities as character spans, as annotation tools export them, converted to words and BIO tags. Pure."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from finetune_trainer.data.running_text import text_words

SPAN_COLUMNS = ("spans", "entities", "label", "labels", "annotations", "tags")
"""Usual columns: Prodigy's and spaCy's, doccano's, Label Studio's."""
_STARTS, _ENDS = ("start", "start_offset", "start_char", "begin"), ("end", "end_offset", "end_char", "stop")
_TYPES = ("label", "labels", "type", "entity", "entity_group", "tag")


class Span(NamedTuple):
    """An entity: the characters from `start` to `end`, exclusive."""

    start: int
    end: int
    kind: str


def as_spans(cell: object) -> list[Span] | None:
    """The spans in a cell; None for anything else, such as a list of tags.

    Lists `[start, end, type]` (doccano, spaCy), objects with offsets and a type (doccano, Prodigy, JSON-MIN of Label
    Studio), and Label Studio's annotations with results; JSON text of these.
    """
    if isinstance(cell, str) and cell.lstrip()[:1] == "[":
        with suppress(ValueError):
            cell = json.loads(cell)
    if not isinstance(cell, list | tuple):
        return None
    items = [one for part in cell for one in _results(part)]
    spans = [_span(item) for item in items]
    known = [span for span in spans if span is not None]
    return known if len(known) == len(spans) else None


def _results(part: object) -> list[object]:
    """Results of a Label Studio annotation; any other cell as it is."""
    if isinstance(part, Mapping) and isinstance(part.get("result"), list):
        return [item.get("value") for item in part["result"] if isinstance(item, Mapping)]
    return [part]


def _span(item: object) -> Span | None:
    if isinstance(item, list | tuple) and len(item) == 3:
        start, end, kind = item
    elif isinstance(item, Mapping):
        start, end, kind = (next((item[k] for k in keys if k in item), None) for keys in (_STARTS, _ENDS, _TYPES))
        if isinstance(kind, list) and len(kind) == 1:
            kind = kind[0]
    else:
        return None
    whole = all(isinstance(at, int) and not isinstance(at, bool) for at in (start, end))
    return Span(start, end, kind) if whole and isinstance(kind, str) else None


def words_and_tags(text: str, spans: list[Span]) -> tuple[list[str], list[str]] | str:
    """Words of a text with their BIO tags, or the reason the spans can't be tags of words.

    Words are runs of letters and digits; any other character, and each of a script without spaces, is one by itself.
    """
    places = text_words(text)
    tags = ["O"] * len(places)
    for span in sorted(spans):
        found = _words_of(text, span, places)
        if isinstance(found, str):
            return found
        if any(tags[at] != "O" for at in found):
            return f"{_shown(text, span)} overlaps another span: a word has one tag"
        for number, at in enumerate(found):
            tags[at] = f"{'I' if number else 'B'}-{span.kind}"
    return [text[start:end] for start, end in places], tags


def _words_of(text: str, span: Span, places: list[tuple[int, int]]) -> list[int] | str:
    """Indices of the words of a span, or the reason it is invalid; white space at its ends is ignored."""
    start, end, kind = span
    if not 0 <= start < end <= len(text):
        return f"the span {start} to {end} ({kind}) is not in the text, which has {len(text)} characters"
    if not kind.strip():
        return f"the span {start} to {end} has no type"
    part = text[start:end]
    start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    found = [at for at, (first, last) in enumerate(places) if first < end and last > start]
    if not found:
        return f"the span {span.start} to {span.end} ({kind}) holds white space only"
    if places[found[0]][0] != start or places[found[-1]][1] != end:
        first, last = places[found[0]][0], places[found[-1]][1]
        return f"{_shown(text, span)} cuts a word of {text[first:last]!r}: spans have to begin and end with words"
    return found


def _shown(text: str, span: Span) -> str:
    return f"the span {span.start} to {span.end}, {text[span.start : span.end]!r} ({span.kind}),"
