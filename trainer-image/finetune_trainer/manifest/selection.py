"""Selection of the job among the documents of a file."""

import yaml

from finetune_api import API_VERSION, GROUP, KIND
from finetune_api.failures import ManifestUnreadable, Problem
from finetune_api.naming import near_names
from finetune_trainer.manifest.document import line_of

_START = f"start the file with apiVersion: {API_VERSION} and kind: {KIND}"


def job_node(nodes: list[yaml.Node], name: str) -> yaml.Node:
    """The only FineTuneJob among the documents of a file.

    Objects of other kinds may stand beside it, as in a file for `kubectl apply`. Raises `ManifestUnreadable`.
    """
    if not nodes:
        raise ManifestUnreadable("holds nothing", where=name, hint=_START)
    strays = [node for node in nodes if _text(node, "kind") is None]
    if len(nodes) > 1 and strays:
        hint = "every document needs a kind; was a line with --- put in by mistake?"
        raise ManifestUnreadable(*(Problem("a document without a kind", _place(node, name), hint) for node in strays))
    jobs = [node for node in nodes if _text(node, "kind") == KIND] or (nodes if len(nodes) == 1 else [])
    if len(jobs) != 1:
        raise ManifestUnreadable(_wrong_count(nodes, jobs, name))
    problems = _identity(jobs[0], name)
    if problems:
        raise ManifestUnreadable(*problems)
    return jobs[0]


def _wrong_count(nodes: list[yaml.Node], jobs: list[yaml.Node], name: str) -> Problem:
    if jobs:
        lines = ", ".join(str(line_of(node)) for node in jobs)
        return Problem(f"{len(jobs)} FineTuneJobs, in lines {lines}", name, "run one job a file; split the file")
    kinds = ", ".join(str(_text(node, "kind")) for node in nodes)
    return Problem(f"no {KIND} among {kinds}", name, f"add a document of kind: {KIND}")


def _identity(node: yaml.Node, name: str) -> list[Problem]:
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else f"the text {str(node.value)[:40]!r}"
        return [Problem(f"holds {kind}, but a job is a mapping", _place(node, name), _START)]
    problems = []
    other = _text(node, "kind")
    if other is not None and not near_names(other, [KIND]):
        return [Problem(f"{other!r} is not {KIND}", f"{_place(node, name, 'kind')} kind", f"name the file of a {KIND}")]
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        given = _text(node, key)
        if given is None:
            problems.append(Problem("missing, and required", f"{_place(node, name)} {key}", _START))
        elif given != expected:
            problems.append(
                Problem(f"{given!r} is not {expected}", f"{_place(node, name, key)} {key}", _meant(given, expected))
            )
    return problems


def _meant(given: str, expected: str) -> str:
    if given.startswith(f"{GROUP}/"):
        return f"this program reads {expected} only"
    return f"did you mean {expected}?"


def _text(node: yaml.Node, key: str) -> str | None:
    value = _entry(node, key)[1]
    return str(value.value) if isinstance(value, yaml.ScalarNode) and value.value else None


def _place(node: yaml.Node, name: str, key: str = "") -> str:
    return f"{name}:{line_of(_entry(node, key)[0] or node)}"


def _entry(node: yaml.Node, name: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), (None, None))
