"""Checks of class names: look-alikes, names for a missing value, and names that are lists of others. Pure."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from finetune_trainer.data.reading.rows import shown

_SURE = (",", ";", "|", "\n", "\uff0c", "\u3001")
"""Signs that part lists, and that names of classes seldom have inside."""
_PERHAPS = ("/", "+", "&", " ")
_NAMED = 4
_AROUND_ZERO = 3  # -1, 0 and 1 are mostly classes: negative, neutral, positive
_LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0458\u0455\u0501"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0406"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
    "\u2010\u2011\u2012\u2013\u2212\u2019\u2018\u02bc\u00b4",
    "aeopcxyijsdABEKMHOPCTXYIABEZHIKMNOPTYXo-----''''",
)
"""Letters and signs of Unicode that look like one of ASCII: Cyrillic, Greek, dashes and apostrophes."""
_WITH_UNIT = re.compile(
    r"(?P<sign>[$\u20ac\u00a3\u00a5]?)\s*(?P<number>[+-]?[0-9]+(?:[.,][0-9]+)?)"
    r"(?P<unit>\s*[%\u2030$\u20ac\u00a3\u00a5\u00b0]|\s*/\s*[0-9]+|\s+out of [0-9]+|\s+[^\W\d_]+|)"
)
"""A number with a sign of money in front of it or a unit behind it."""
_SEVERAL = 3
_SPACES = re.compile("[ \t\r\n]+")
_NUMBERS = {"0", "1"}
_TRUTHS = {"true", "false", *_NUMBERS}
_BRACKETS = "{}[]()"


@dataclass(frozen=True)
class ListedClasses:
    """A class name that is a list of other classes, with its separator."""

    name: str
    parts: tuple[str, ...]
    separator: str
    is_sure: bool
    """Whether the sign is one that hardly occurs in names for another reason."""


def listed_classes(names: Iterable[str]) -> ListedClasses | None:
    """A class whose name is a list of other classes; None without one."""
    known = set(names)
    for separator in (*_SURE, *_PERHAPS):
        for name in sorted(known):
            parts = tuple(part.strip(" \"'") for part in name.strip(_BRACKETS).split(separator))
            if len(parts) > 1 and all(part in known and part != name for part in parts if part) and all(parts):
                return ListedClasses(name, parts, separator, separator in _SURE)
    return None


def compound_classes(names: Iterable[str]) -> ListedClasses | None:
    """A class that is probably a list though its parts are no classes: most names share few parts."""
    known = sorted(set(names))
    for separator in _SURE:
        split = {name: tuple(part.strip(" \"'") for part in name.strip(_BRACKETS).split(separator)) for name in known}
        uses = Counter(part for parts in split.values() for part in set(parts))
        made = [name for name, parts in split.items() if len(parts) > 1 and all(uses[part] > 1 for part in parts)]
        if len(made) > 2 and len(made) > len(known) / 2:
            return ListedClasses(made[0], split[made[0]], separator, is_sure=False)
    return None


def look_alikes(names: Iterable[str]) -> Iterator[str]:
    """Warnings about names that differ only in case, spaces, leading zeros or invisible characters."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    known = set(names)
    for name in sorted(known):
        groups[_skeleton(name)].append(name)
    alike = [group for group in groups.values() if len(group) > 1]
    for what, same in (("case or spaces", _plain), ("leading zeros", _whole)):
        found = [group for group in alike if len(set(map(same, group))) == 1]
        if found:
            listed = _listed([name for group in found for name in group])
            yield f"Labels {listed} differ in {what} only; if they mean the same, write them the same."
        alike = [group for group in alike if group not in found]
    if known <= _TRUTHS and known & _NUMBERS and known - _NUMBERS:
        listed = _listed(sorted(known))
        yield f"Labels {listed} are {len(known)} classes; if 'true' means '1' and 'false' '0', write them the same."
    for group in alike:
        odd = [f"{shown(name)} with {signs}" for name in group if (signs := _code_points(name, group))]
        yield f"Labels look alike and differ in their characters: {'; '.join(odd)}. Write them the same."


def stands_for_none(names: Iterable[str]) -> str | None:
    """Warnings about classes that may stand for no label: a sign among words, -1 below 0, 1, 2 ..."""
    known = set(names)
    signs = [name for name in known if not any(char.isalnum() for char in name) and name.isascii()]
    whole = {str(number) for number in range(-1, len(known) - 1)}
    found = "-1" if len(known) > _AROUND_ZERO and known == whole else signs[0] if len(signs) == 1 < len(known) else ""
    if not found:
        return None
    return (
        f"The label {shown(found)} stands for no label in many data sets: take its rows out, or list the classes in"
        " data.labels.names."
    )


def number_with_unit(names: Iterable[str]) -> tuple[str, str] | None:
    """A class name with its number, where all are numbers of one unit (`5%`, `3/5`, `4 stars`); None elsewhere."""
    known = sorted(set(names))
    found = [match for name in known if (match := _WITH_UNIT.fullmatch(name))]
    units = {match["sign"] + match["unit"].strip().lower().removesuffix("s") for match in found}
    if len(known) < _SEVERAL or len(found) < len(known) or len(units) > 1 or units == {""}:
        return None
    return found[-1].group(), found[-1]["number"]


def units_warning(names: Iterable[str]) -> str | None:
    """Warning about classes that may be numbers to predict; None without any."""
    found = number_with_unit(names)
    if found is None:
        return None
    return (
        f"Labels such as {shown(found[0])} are classes, without an order: if they are numbers to predict, write the"
        f" number alone ({found[1]}), with data.labels.problemType: Regression."
    )


def listed_warning(names: Iterable[str]) -> str | None:
    """Warning about classes that may be lists of others; None without any."""
    known = set(names)
    found = listed_classes(known) or compound_classes(known)
    if found is None:
        return None
    parts = " and ".join(shown(part) for part in found.parts[:_NAMED])
    return (
        f"The label {shown(found.name)} may stand for {parts}: for several labels per row set data.labels.separator:"
        f" {found.separator!r}; if it is one class, set data.labels.problemType: SingleLabel."
    )


def _plain(name: str) -> str:
    return _SPACES.sub(" ", name.lower()).strip()


def _whole(name: str) -> str:
    return str(int(name)) if name.isascii() and name.isdigit() else name


def _skeleton(name: str) -> str:
    shapes = unicodedata.normalize("NFKC", name.translate(_LATIN)).translate(_LATIN)
    seen = "".join(char for char in shapes if unicodedata.category(char) not in ("Cf", "Cc"))
    return _whole(" ".join(seen.casefold().split()))


def _code_points(name: str, group: list[str]) -> str:
    """Non-ASCII characters of a name that others of its group lack."""
    others = set.intersection(*(set(other) for other in group))
    odd = [char for char in dict.fromkeys(name) if char not in others and not char.isascii()]
    return ", ".join(f"U+{ord(char):04X} ({unicodedata.name(char, 'no name')})" for char in odd[:_NAMED])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED - 1} more" if len(names) > _NAMED + 1 else ""
    return ", ".join(shown(name) for name in names[: _NAMED + 1]) + more
