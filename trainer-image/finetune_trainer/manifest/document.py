"""YAML documents as plain data, with line numbers of all values."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from finetune_api.failures import ManifestUnreadable, Problem
from finetune_api.fields import FieldPath, format_path
from finetune_trainer.manifest.scalars import TAG, KubernetesLoader, Scalar, read_plain, tag_of

MOST_VALUES = 20_000
"""Aliases can make a small file expand without end; no job has this many values."""

DEEPEST = 64
"""Levels of nesting; a job has about six."""


@dataclass(frozen=True)
class Document:
    """A job as plain data.

    `places` tells for each path where its value was written (line 12, or `--set a.b=c`), `texts` how scalars
    were written (`yes` for True).
    """

    name: str
    data: dict[str, Any]
    places: Mapping[FieldPath, int | str]
    texts: Mapping[FieldPath, str]

    def place(self, path: FieldPath) -> int | str:
        """Line or override of the nearest existing part of `path`."""
        return next((self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), 1)

    def where(self, path: FieldPath) -> str:
        """`job.yaml:12 spec.training.epochs`; the line is that of the nearest existing part."""
        place = self.place(path)
        start = f"{self.name}:{place}" if isinstance(place, int) else place
        return f"{start} {format_path(path)}".rstrip()


def compose(text: str, name: str) -> list[yaml.Node]:
    """Documents of a YAML stream as nodes without empty ones. Raises `ManifestUnreadable`."""
    nodes = []
    try:
        loader = KubernetesLoader(text)
        while loader.check_node():
            nodes.append(loader.get_node())
    except yaml.MarkedYAMLError as error:
        raise ManifestUnreadable(_syntax_problem(error, text, name)) from error
    except yaml.reader.ReaderError as error:
        raise ManifestUnreadable("is not YAML: it holds a control character", where=name, hint="remove it") from error
    except RecursionError as error:
        raise _too_deep(name) from error
    return [node for node in nodes if node is not None and node.tag != f"{TAG}null"]


def line_of(node: yaml.Node) -> int:
    """First line of `node`, counted from 1."""
    return int(node.start_mark.line) + 1


def _too_deep(name: str) -> ManifestUnreadable:
    return ManifestUnreadable(f"more than {DEEPEST} levels deep", where=name, hint="a job has about six levels")


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark and error.context_mark and mark.index >= len(text.rstrip()):
        mark = error.context_mark  # what was opened and never closed says more than the end of the file
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    if "\\t" in (error.problem or ""):
        return Problem("a tab where YAML allows spaces only", f"{name}:{line}", "indent with spaces")
    hint = _SYNTAX_HINTS.get(
        error.problem or "", "check the indentation, and quote values that contain any of : # { [ *"
    )
    context = f" ({error.context})" if error.context else ""
    shown = f": {lines[line - 1].strip()[:60]}" if 0 < line <= len(lines) and lines[line - 1].strip() else ""
    return Problem(f"is not YAML{context}: {error.problem}{shown}", f"{name}:{line}", hint)


_SYNTAX_HINT = "check the indentation, and quote values that contain any of : # { [ *"
_SYNTAX_HINTS = {
    "found undefined alias": "quote text that begins with *",
    "mapping values are not allowed here": "quote a value that contains ': ', and check the indentation",
    "could not find expected ':'": "put ': ' between the name of a field and its value",
    "found unexpected end of stream": "close the quotes",
}


@dataclass
class _Conversion:
    """State of one walk over nodes: line numbers and problems."""

    name: str
    places: dict[FieldPath, int | str] = field(default_factory=dict)
    texts: dict[FieldPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    above: list[yaml.Node] = field(default_factory=list)
    values: int = 0

    def convert(self, node: yaml.Node, path: FieldPath) -> Any:
        """Plain data of `node`; collects problems so that all are reported at once."""
        self.values += 1
        if self.values > MOST_VALUES:
            raise ManifestUnreadable(
                f"more than {MOST_VALUES} values", where=self.name, hint="a job has about a hundred"
            )
        if len(path) > DEEPEST:
            raise _too_deep(self.name)
        if any(node is other for other in self.above):
            self.report(node, path, "an alias (*) that contains itself", "write the value out")
            return None
        self.above.append(node)
        try:
            return self._value(node, path)
        finally:
            self.above.pop()

    def report(self, node: yaml.Node, path: FieldPath, message: str, hint: str) -> None:
        self.problems.append(Problem(message, f"{self.name}:{line_of(node)} {format_path(path)}".rstrip(), hint))

    def _value(self, node: yaml.Node, path: FieldPath) -> Any:
        self.places.setdefault(path, line_of(node))
        if isinstance(node, yaml.CollectionNode) and node.tag not in (f"{TAG}map", f"{TAG}seq"):
            self.report(node, path, f"a value with the tag {node.tag.replace(TAG, '!!')}", "remove the tag")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in self._pairs(node, path):
            below = (*path, str(key.value))
            self.places[below] = line_of(key)
            found[str(key.value)] = self.convert(value, below)
        return found

    def _pairs(self, node: yaml.MappingNode, path: FieldPath) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Keys and values; a repeated key is a problem, a merged one (`<<`) is overridden by the mapping's own."""
        own: dict[str, yaml.Node] = {}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.report(key, path, "a field's name is a mapping or a list", "use a word as the name")
            elif key.tag == f"{TAG}merge":
                merged += self._merged(value, path)
            elif key.value in own:
                lines = f"lines {line_of(own[key.value])} and {line_of(key)}"
                self.report(key, (*path, key.value), f"{key.value} is given twice, in {lines}", "keep one of them")
            else:
                own[key.value] = key
                yield key, value
        for key, value in merged:
            if str(key.value) not in own:
                own[str(key.value)] = key
                yield key, value

    def _merged(self, node: yaml.Node, path: FieldPath) -> list[tuple[yaml.Node, yaml.Node]]:
        named = node.value if isinstance(node, yaml.SequenceNode) else [node]
        parts = [part for part in named if isinstance(part, yaml.MappingNode) and part not in self.above]
        if len(parts) < len(named):
            self.report(node, path, "<< takes another mapping, or a list of them", "name one by its alias: <<: *name")
            return []
        pairs = []
        for part in parts:
            self.above.append(part)
            pairs += list(self._pairs(part, path))
            self.above.pop()
        return pairs

    def _scalar(self, node: yaml.Node, path: FieldPath) -> Scalar:
        text = str(node.value)
        self.texts[path] = text
        tag = node.tag.removeprefix(TAG)
        value = text if tag == "str" else read_plain(text)
        if tag not in (tag_of(value), "float" if isinstance(value, int) else tag_of(value)):
            self.report(
                node, path, f"{text!r} can't be read with the tag {node.tag.replace(TAG, '!!')}", "remove the tag"
            )
        elif isinstance(value, float) and not math.isfinite(value):
            self.report(node, path, f"{text} is not a number that a job can hold", "use a finite number")
        elif any("\ud800" <= letter <= "\udfff" for letter in text):
            self.report(node, path, "text with half a character (a lone surrogate)", "write the whole character")
        return value


def convert(node: yaml.Node, name: str) -> Document:
    """`node` as a `Document`. Raises `ManifestUnreadable` with every repeated key, unknown tag and recursive alias."""
    conversion = _Conversion(name)
    data = conversion.convert(node, ())
    if conversion.problems:
        raise ManifestUnreadable(*conversion.problems)
    return Document(name, data, conversion.places, conversion.texts)
