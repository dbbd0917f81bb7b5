"""Tags of words in canonical form, and the tag space. Pure.

Entities are written as `O` and a prefix with a type: `B-person` begins one, `I-person` goes on with it (BIO), and in
BIOES and BILOU `E-` or `L-` ends one and `S-` or `U-` is one of a single word. What is written otherwise
(`tag_schemes`) is read as these. Other tags (parts of speech) are plain.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from finetune_api.data import Labels
from finetune_api.failures import LabelsUnsuitable
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import Label, UnusableLabel, as_list, class_name, is_absent, is_whole
from finetune_trainer.data.labels import MAX_CLASSES, LabelSpace
from finetune_trainer.data.list_cells import why_no_list
from finetune_trainer.data.reading.rows import shown
from finetune_trainer.data.tag_schemes import OUTSIDE, AmbiguousTags, TagScheme, find_scheme, with_order

_ENTITY = re.compile(r"([BIESLU])-(.+)")
_ORDER = "BIESLU"
_FEW = 20
_CHECK = "check that spec.data.columns.tags is the right column"


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of an entity tag; `O` and plain tags have no prefix."""
    found = _ENTITY.fullmatch(tag)
    return (found[1], found[2]) if found else ("", tag)


def entity_types(tags: Iterable[str]) -> list[str]:
    """Entity types, or plain tags, in order without repetition; without `O`."""
    return list(dict.fromkeys(split_tag(tag)[1] for tag in tags if tag != OUTSIDE))


def entity_counts(words: Mapping[str, int]) -> dict[str, int]:
    """Entities per type from the number of words per tag; plain tags count words."""
    types = entity_types(words)
    inside = [(*split_tag(tag), count) for tag, count in words.items() if tag != OUTSIDE]
    begins = {
        kind: sum(n for prefix, of, n in inside if of == kind and prefix in ("", "B", "S", "U")) for kind in types
    }
    return {kind: count or sum(n for _, of, n in inside if of == kind) for kind, count in begins.items()}


def tag_warnings(words: Mapping[str, int]) -> Iterator[str]:
    """Warnings about the tags of the training words."""
    counts = entity_counts(words)
    absent = [kind for kind, count in counts.items() if not count]
    few = [f"{shown(kind)} ({count})" for kind, count in counts.items() if 0 < count < _FEW]
    if absent:
        yield f"Nothing in the training rows is tagged as {', '.join(map(shown, absent))}: it can't be learned."
    if few:
        yield f"Fewer than {_FEW} examples in the training rows: {', '.join(few)}; expect little of them."


class TagReader:
    """Parser of tag lists of one scheme into canonical tags."""

    def __init__(self, labels: Labels, cells: Sequence[object]) -> None:
        """Detect the scheme from the names that the spec gives, else from the training cells.

        Raises `LabelsUnsuitable` for numbers that no name is given for, and for tags that can be read in two ways.
        """
        rows = [[str(tag).strip() for tag in as_list(cell) or ()] for cell in cells]
        found = Counter(tag for row in rows for tag in row)
        if not labels.names and found and all(is_whole(tag) for tag in found):
            hint = "name them in the order of their numbers: spec.data.labels.names: [O, B-person, I-person]"
            raise LabelsUnsuitable("the tags are numbers", where="spec.data.train", hint=hint)
        self._given, scheme = _named_tags(labels.names, found)
        self.scheme = with_order(scheme, rows) if scheme is not None else None
        """How the tags are written; None for plain ones."""
        self._names = tuple(self._canonical(name) or name for name in self._given)

    @property
    def description(self) -> str:
        """Name of the scheme."""
        return self.scheme.description if self.scheme is not None else "plain, each word by itself"

    def read(self, cell: object) -> Label:
        """The tags in a cell. Raises `UnusableLabel` for a cell without a list, or with a tag of another scheme."""
        found = as_list(cell)
        if not found:
            raise UnusableLabel(
                "tags are no list", f'{shown(cell)}{why_no_list(cell)}; write ["O", "B-person"], one tag a word'
            )
        return tuple(self._tag(item) for item in found)

    def _tag(self, item: object) -> str:
        tag = item.strip() if isinstance(item, str) else "" if is_absent(item) else class_name(item)
        if not tag and tag not in self._given:
            raise UnusableLabel("a tag is empty", "words outside of all entities have the tag O")
        if self._given:
            return self._named(tag)
        canonical = self._canonical(tag)
        if canonical is None:
            scheme = self.scheme or TagScheme()
            parts = "type with a suffix" if scheme.marker_last else "prefix with a type"
            examples = ", ".join(scheme.written(marker, "person") for marker in "BI")
            raise UnusableLabel(f"a tag is neither {scheme.outside} nor a {parts}", f"{shown(tag)}; write {examples}")
        return canonical

    def _canonical(self, tag: str) -> str | None:
        return tag if self.scheme is None else self.scheme.canonical(tag)

    def _named(self, tag: str) -> str:
        if tag in self._given:
            return self._names[self._given.index(tag)]
        if is_whole(tag) and 0 <= int(tag) < len(self._names):
            return self._names[int(tag)]
        canonical = self._canonical(tag)
        if canonical in self._names:
            return str(canonical)
        close = get_close_matches(tag, self._given, n=1)
        meant = f"; did you mean {shown(close[0])}?" if close else ""
        raise UnusableLabel("tag is not one of data.labels.names", f"{shown(tag)}{meant}")

    def space(self, labels: Iterable[Label]) -> LabelSpace:
        """The given names, else `O` and the tags of the training rows: each type with all prefixes in use.

        Raises `LabelsUnsuitable` for a single tag and for more than `MAX_CLASSES`.
        """
        found = {tag for tags in labels if isinstance(tags, tuple) for tag in tags}
        if len(found) < 2:
            message = f"all words of the training rows have the tag {shown(min(found, default=''))}"
            hint = f"there is nothing to distinguish: add sentences with other tags, or {_CHECK}"
            raise LabelsUnsuitable(message, where="spec.data.train", hint=hint)
        names = self._names or tuple(self._in_order(found))
        if len(names) > MAX_CLASSES:
            message = f"{len(names):,} tags are more than {MAX_CLASSES}"
            raise LabelsUnsuitable(message, where="spec.data.train", hint=_CHECK)
        return LabelSpace(ProblemType.AUTO, names, self.description)

    def _in_order(self, found: set[str]) -> list[str]:
        outside = [OUTSIDE] if OUTSIDE in found or self.scheme is not None else []
        if self.scheme is None:
            return [*outside, *sorted(found - {OUTSIDE})]
        used = {split_tag(tag)[0] for tag in found if tag != OUTSIDE} | ({"B", "I"} if found - {OUTSIDE} else set())
        prefixes = [prefix for prefix in _ORDER if prefix in used]
        return [*outside, *(f"{prefix}-{kind}" for kind in sorted(entity_types(found)) for prefix in prefixes)]


def _named_tags(names: Sequence[str], found: Mapping[str, int]) -> tuple[tuple[str, ...], TagScheme | None]:
    """The given tag names, and their scheme or else that of the tags found.

    Names that are the types of the tags found stand for all their tags. Raises `LabelsUnsuitable`.
    """
    try:
        of_names, of_tags = find_scheme(dict.fromkeys(names, 1)), find_scheme(found)
    except AmbiguousTags as ambiguous:
        raise LabelsUnsuitable(ambiguous.message, where="spec.data.train", hint=ambiguous.question) from None
    if not names or of_names is not None or of_tags is None:
        return tuple(names), of_names if names else of_tags
    types = entity_types(filter(None, map(of_tags.canonical, found)))
    if not set(types) <= set(names):
        return tuple(names), None
    inside = "M" if "M" in of_tags.markers else "I"
    markers = sorted({"B", inside, *of_tags.markers} - ({"I"} if inside == "M" else set()), key="BIMESWLU".find)
    kinds = [name for name in names if name != of_tags.outside]
    return (of_tags.outside, *(of_tags.written(marker, kind) for kind in kinds for marker in markers)), of_tags
