"""Tags of words: which scheme they are written in, and the tag space. Pure.

Entities are written as `O` and a prefix with a type: `B-person` begins one, `I-person` goes on with it (BIO), and in
BIOES and BILOU `E-` or `L-` ends one and `S-` or `U-` is one of a single word. Other tags (parts of speech) are plain.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from finetune_api.data import Labels
from finetune_api.failures import LabelsUnsuitable
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import Label, UnusableLabel, as_list, class_name, is_whole
from finetune_trainer.data.labels import MAX_CLASSES, LabelSpace
from finetune_trainer.data.reading.rows import shown

OUTSIDE = "O"
"""The tag of words that belong to no entity."""
_ENTITY = re.compile(r"([BIESLU])-(.+)")
_NEARLY = re.compile(r"(?i:[BIESLU])[-_/: ].+")
_ORDER = "BIESLU"
_FEW = 20
_CHECK = "check that spec.data.columns.tags is the right column"


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of an entity tag; `O` and plain tags have neither prefix nor another name."""
    found = _ENTITY.fullmatch(tag)
    return (found[1], found[2]) if found else ("", tag)


def entity_types(tags: Iterable[str]) -> list[str]:
    """The types of entities, or the plain tags, in order and each once; `O` is none."""
    return list(dict.fromkeys(split_tag(tag)[1] for tag in tags if tag != OUTSIDE))


def entity_counts(words: Mapping[str, int]) -> dict[str, int]:
    """Entities of each type, from the number of words with each tag; plain tags count as they are."""
    types = entity_types(words)
    inside = [(*split_tag(tag), count) for tag, count in words.items() if tag != OUTSIDE]
    begins = {
        kind: sum(n for prefix, of, n in inside if of == kind and prefix in ("", "B", "S", "U")) for kind in types
    }
    return {kind: count or sum(n for _, of, n in inside if of == kind) for kind, count in begins.items()}


def tag_warnings(words: Mapping[str, int]) -> Iterator[str]:
    """What to say of the tags of the training words."""
    counts = entity_counts(words)
    absent = [kind for kind, count in counts.items() if not count]
    few = [f"{shown(kind)} ({count})" for kind, count in counts.items() if 0 < count < _FEW]
    if absent:
        yield f"Nothing in the training rows is tagged as {', '.join(map(shown, absent))}: it can't be learned."
    if few:
        yield f"Fewer than {_FEW} examples in the training rows: {', '.join(few)}; expect little of them."


class TagReader:
    """Reads cells with a list of tags, all of one scheme."""

    def __init__(self, labels: Labels, cells: Sequence[object]) -> None:
        """Find the scheme in the training cells. Raises `LabelsUnsuitable` for numbers that no name is given for."""
        self._names = tuple(labels.names)
        found = Counter(tag for cell in cells for tag in map(str.strip, map(str, as_list(cell) or ())))
        inside = {tag: count for tag, count in (found.items()) if tag != OUTSIDE and tag}
        if not self._names and found and all(is_whole(tag) for tag in found):
            hint = "name them in the order of their numbers: spec.data.labels.names: [O, B-person, I-person]"
            raise LabelsUnsuitable("the tags are numbers", where="spec.data.train", hint=hint)
        entities = sum(count for tag, count in inside.items() if _ENTITY.fullmatch(tag))
        nearly = [tag for tag in inside if _NEARLY.fullmatch(tag) and not _ENTITY.fullmatch(tag)]
        self.has_entities = any(map(_ENTITY.fullmatch, self._names)) or entities > sum(inside.values()) / 2
        if not self.has_entities and nearly and sum(inside[tag] for tag in nearly) > sum(inside.values()) / 2:
            message, hint = (
                f"tags such as {shown(nearly[0])} are not written as entities",
                "write B-person, I-person, O",
            )
            raise LabelsUnsuitable(message, where="spec.data.train", hint=hint)

    def read(self, cell: object) -> Label:
        """The tags in a cell. Raises `UnusableLabel` for a cell without a list, or with a tag of another scheme."""
        found = as_list(cell)
        if not found:
            raise UnusableLabel("tags are no list", f'{shown(cell)}; write ["O", "B-person"], one tag a word')
        return tuple(self._tag(item) for item in found)

    def _tag(self, item: object) -> str:
        tag = class_name(item) if not isinstance(item, str) else item.strip()
        if self._names:
            return self._named(tag)
        if not tag:
            raise UnusableLabel("a tag is empty", "words outside of all entities have the tag O")
        if self.has_entities and tag != OUTSIDE and not _ENTITY.fullmatch(tag):
            raise UnusableLabel(
                "a tag is neither O nor a prefix with a type", f"{shown(tag)}; write B-person, I-person"
            )
        return tag

    def _named(self, tag: str) -> str:
        if tag in self._names:
            return tag
        if is_whole(tag) and 0 <= int(tag) < len(self._names):
            return self._names[int(tag)]
        close = get_close_matches(tag, self._names, n=1)
        meant = f"; did you mean {shown(close[0])}?" if close else ""
        raise UnusableLabel("tag is not one of data.labels.names", f"{shown(tag)}{meant}")

    def space(self, labels: Iterable[Label]) -> LabelSpace:
        """The names that are given, else `O` and the tags of the training rows: each type with all prefixes in use.

        Raises `LabelsUnsuitable` for a single tag and for more than `MAX_CLASSES`.
        """
        found = {tag for tags in labels if isinstance(tags, tuple) for tag in tags}
        if len(found) < 2:
            message = f"all words of the training rows have the tag {shown(min(found, default=''))}"
            hint = f"there is nothing to tell apart: add sentences with other tags, or {_CHECK}"
            raise LabelsUnsuitable(message, where="spec.data.train", hint=hint)
        names = self._names or tuple(self._in_order(found))
        if len(names) > MAX_CLASSES:
            message = f"{len(names):,} tags are more than {MAX_CLASSES}"
            raise LabelsUnsuitable(message, where="spec.data.train", hint=_CHECK)
        return LabelSpace(ProblemType.AUTO, names)

    def _in_order(self, found: set[str]) -> list[str]:
        outside = [OUTSIDE] if OUTSIDE in found or self.has_entities else []
        if not self.has_entities:
            return [*outside, *sorted(found - {OUTSIDE})]
        used = {split_tag(tag)[0] for tag in found if tag != OUTSIDE} | ({"B", "I"} if found - {OUTSIDE} else set())
        prefixes = [prefix for prefix in _ORDER if prefix in used]
        return [*outside, *(f"{prefix}-{kind}" for kind in sorted(entity_types(found)) for prefix in prefixes)]
