"""Tag schemes of entities (BIO, IOB1, IOBES ...) and their canonical form. Pure.

Recognised are a marker before or after the type (`B-PER`, `PER-B`), in either case, joined by `-`, `_`, `:` or `/`
(`b_per`), and markers without a type (`B`, `I`). Markers: `B` begin, `I` or `M` inside, `E` or `L` end, `S`, `U` or `W`
a single word; so BIO, IOB1, IO, BIOES, BILOU, BMES, BMEWO. The canonical form is the marker, `-` and the type, with
`I` for `M` and `S` for `W`, which is what transformers' pipelines and the metrics of entities understand.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

OUTSIDE = "O"
"""The canonical tag of words that belong to no entity."""
UNTYPED = "entity"
"""The type of entities whose tags name none."""
_MARKERS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "L", "S": "S", "U": "U", "W": "S"}
_INSIDE = {"I", "M"}
_SEPARATORS = "-_:/"
_USUAL_OUTSIDE = {"o", "_", "-", "0", "out", "outside", "none", "null", "nil", "other"}
_NAMES = {"I": "IO", "BI": "BIO", "BIES": "BIOES", "BILU": "BILOU", "BMES": "BMES", "BMEW": "BMEWO"}
"""Schemes by the markers that they have, the first that has all in use."""


@dataclass
class AmbiguousTags(ValueError):  # noqa: N818 -- a finding about the data, not a defect
    """Tags that fit more than one scheme; `question` is shown to the user."""

    message: str
    question: str


@dataclass(frozen=True)
class TagScheme:
    """Notation of the tags of one data set."""

    separator: str = "-"
    """What joins marker and type; empty where there are no types."""
    marker_last: bool = False
    """Whether the marker comes after the type."""
    upper: bool = True
    """Whether markers are capitals."""
    outside: str = OUTSIDE
    """The tag of words outside of entities."""
    markers: str = "BI"
    """The markers in use, sorted, in capitals."""
    begins_by_inside: bool = False
    """Whether entities begin with `I`, and with `B` only right after one of their type (IOB1)."""

    def canonical(self, tag: str) -> str | None:
        """The tag in canonical form; None for a tag of another scheme."""
        if tag in (self.outside, OUTSIDE):
            return OUTSIDE
        found = self._pattern.fullmatch(tag)
        if found is None:
            return None
        marker, kind = found["marker"].upper(), found["type"] if self.separator else UNTYPED
        return f"{_MARKERS[marker]}-{kind}"

    def written(self, marker: str, kind: str) -> str:
        """A canonical tag in this scheme's notation."""
        marker = marker if self.upper else marker.lower()
        parts = (kind, marker) if self.marker_last else (marker, kind)
        return self.separator.join(parts) if self.separator else marker

    def marker_of(self, tag: str) -> str:
        """Marker of a tag in capitals; empty for `O` and tags of other schemes."""
        found = None if tag == self.outside else self._pattern.fullmatch(tag)
        return found["marker"].upper() if found else ""

    @property
    def description(self) -> str:
        """Name of the scheme, with deviating notations: `BIO, PER-B is read as B-PER`."""
        inside = next((marker for marker in "MW" if marker in self.markers), "B")
        written = self.written(inside, "TYPE")
        changed = "" if self.canonical(written) == written else f", {written} is read as {self.canonical(written)}"
        outside = "" if self.outside == OUTSIDE else f", {self.outside} as {OUTSIDE}"
        return f"{self._name}{changed}{outside}"

    @property
    def _name(self) -> str:
        if self.begins_by_inside:
            return "IOB1"
        return next((name for known, name in _NAMES.items() if set(self.markers) <= set(known)), self.markers)

    @cached_property
    def _pattern(self) -> "re.Pattern[str]":
        letters = "".join(_MARKERS) if self.upper else "".join(_MARKERS).lower()
        marker, kind, between = f"(?P<marker>[{letters}])", "(?P<type>.+)", re.escape(self.separator)
        if not self.separator:
            return re.compile(marker)
        return re.compile(f"{kind}{between}{marker}" if self.marker_last else f"{marker}{between}{kind}")


def find_scheme(counts: Mapping[str, int]) -> TagScheme | None:
    """The scheme of most tagged words, from the number of words per tag; None for plain tags.

    Raises `AmbiguousTags` where two schemes fit equally well, or where it is not clear which tag is outside.
    """
    tags = {tag: count for tag, count in counts.items() if tag}
    inside = {tag: count for tag, count in tags.items() if tag != OUTSIDE}
    bare = _bare_scheme(inside)
    if bare is not None:
        return bare
    fits = sorted(_fits(tags), key=lambda fit: fit[0], reverse=True)
    if not fits:
        return None
    (score, scheme), *others = fits
    rival = next((other for other_score, other in others if other_score == score), None)
    if rival is not None and rival.marker_last != scheme.marker_last:
        tag = min(tag for tag in inside if scheme.marker_of(tag))
        message = f"tags such as {tag!r} can be read as marker and type ({scheme.canonical(tag)})"
        message += f" or as type and marker ({rival.canonical(tag)})"
        raise AmbiguousTags(message, "which is it? write them as B-person, I-person with types of more than one letter")
    return scheme


def with_order(scheme: TagScheme, rows: Sequence[Sequence[str]]) -> TagScheme:
    """The scheme refined by the order of tags: whether entities begin with `I` (IOB1)."""
    if scheme.markers != "BI":
        return scheme
    pairs = [pair for row in rows for pair in pairwise(["", *row])]
    after_outside = {scheme.marker_of(tag) for before, tag in pairs if not scheme.marker_of(before)}
    if "I" not in after_outside or "B" in after_outside:
        return scheme
    return TagScheme(
        scheme.separator,
        marker_last=scheme.marker_last,
        upper=scheme.upper,
        outside=scheme.outside,
        begins_by_inside=True,
    )


def _bare_scheme(tags: Mapping[str, int]) -> TagScheme | None:
    """The scheme of tags that are markers only."""
    for upper in (True, False):
        outside = OUTSIDE if upper else "o"
        inside = {tag for tag in tags if tag != outside}
        known = set(_MARKERS) if upper else {marker.lower() for marker in _MARKERS}
        markers = "".join(sorted(tag.upper() for tag in inside))
        if inside <= known and "B" in markers and {*_INSIDE, "E"} & set(markers):
            return TagScheme("", upper=upper, outside=outside, markers=markers)
    return None


def _fits(tags: Mapping[str, int]) -> Iterator[tuple[tuple[int, bool, bool], TagScheme]]:
    """Schemes of more than half of the tagged words, each with its fit."""
    for separator, marker_last, upper in product(_SEPARATORS, (False, True), (True, False)):
        plain = TagScheme(separator, marker_last=marker_last, upper=upper)
        markers = {tag: plain.marker_of(tag) for tag in tags}
        in_use = "".join(sorted(set(filter(None, markers.values()))))
        is_standard = separator == "-" and upper and not marker_last
        if not in_use or not (is_standard or {"B", *_INSIDE} & set(in_use)):
            continue
        unmarked = [tag for tag, marker in markers.items() if not marker and tag != OUTSIDE]
        outside = _outside(tags, unmarked, in_use)
        covered = sum(count for tag, count in tags.items() if markers[tag])
        if covered * 2 > sum(count for tag, count in tags.items() if tag not in (outside, OUTSIDE)):
            scheme = TagScheme(separator, marker_last=marker_last, upper=upper, outside=outside, markers=in_use)
            yield (covered, "B" in in_use, bool(_INSIDE & set(in_use))), scheme


def _outside(tags: Mapping[str, int], unmarked: Sequence[str], markers: str) -> str:
    """The tag for `O`. Raises `AmbiguousTags` where it may be a tag of another name."""
    if len(unmarked) != 1 or "B" not in markers or OUTSIDE in tags:
        return OUTSIDE
    (tag,) = unmarked
    if tag.casefold() in _USUAL_OUTSIDE:
        return tag
    if _INSIDE & set(markers) and tags[tag] * 2 > sum(tags.values()):
        message = f"all tags but {tag!r} begin or continue an entity, and no word has the tag {OUTSIDE}"
        raise AmbiguousTags(message, f"if {tag!r} stands for words outside of entities, write {OUTSIDE} instead")
    return OUTSIDE
