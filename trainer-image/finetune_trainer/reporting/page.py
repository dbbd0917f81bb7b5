"""`report/index.html`: one self-contained page, without external requests, with all data escaped.

A content security policy forbids any fetch and any script but the page's own, so that even a hole in the escaping
could not run what a data file holds.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from hashlib import sha256
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from finetune_api.details import Sample
from finetune_api.report import Report
from finetune_api.tasks import COMPARES_OUTPUTS, ProblemType, Task
from finetune_trainer.reporting import numbers
from finetune_trainer.reporting.confusion import READABLE, matrix_cells, worst_mixups
from finetune_trainer.reporting.curves import draw_curves
from finetune_trainer.reporting.diagrams import reliability_diagram, scatter_diagram
from finetune_trainer.reporting.distribution import label_rows, split_names
from finetune_trainer.reporting.group_table import group_table, split_comparisons
from finetune_trainer.reporting.headline import (
    WITH_NEW_HEAD,
    evaluated_rows,
    leading_metrics,
    problem_of,
    summarise,
    task_of,
)

OUTCOME_WORDS = {
    "Succeeded": "Succeeded",
    "GateFailed": "Gate failed",
    "Failed": "Failed",
    "Stopped": "Stopped",
}
_HIGHEST_LOSS = "The rows with the highest loss."
_SUREST_FIRST = "Wrong predictions, the surest first."
_WORST_LEADS = {
    Task.TOKEN_CLASSIFICATION: "Texts with a wrong entity, those with the highest loss first.",
    Task.SEQ2SEQ: "Texts that are not what was expected, the least like it first.",
    Task.CAUSAL_LM: "Answers that are not what was expected, the least like it first.",
    Task.PREFERENCE: "Pairs with the rejected answer ahead, the furthest first.",
    Task.REWARD_MODEL: "Pairs with the rejected answer ahead, the furthest first.",
    Task.POLICY_OPTIMIZATION: "Answers with the lowest rewards.",
}
_UNITS = {Task.TOKEN_CLASSIFICATION: ("Type", "Entities")}
"""What the rows of the table of classes are, and what they count."""
_PAIRS = frozenset({Task.PREFERENCE, Task.REWARD_MODEL})
_WRITES = frozenset({Task.SEQ2SEQ, Task.CAUSAL_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})


def render_page(report: Report) -> str:
    """Render the page of a run, complete or not."""
    return _environment().get_template("page.html.j2").render(report=report, **_view(report))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("finetune_trainer.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("figure", "signed", "count", "compact", "percent", "duration", "exponent", "file_name"):
        environment.filters[name] = getattr(numbers, name)
    environment.filters["breakable"] = breakable
    environment.filters["difference"] = difference
    return environment


def breakable(name: str) -> Markup:
    """Allow line breaks in names such as `card_not_working` or `SequenceClassification`."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/.-])(?=.)|(?<=[a-z])(?=[A-Z])", name))


def difference(sample: Sample) -> list[tuple[str, bool]]:
    """Generated text in pieces, each with whether the expected text has these words at that place."""
    words, expected = re.findall(r"\s+|\S+", sample.predicted), re.findall(r"\s+|\S+", sample.expected)
    blocks = SequenceMatcher(None, words, expected, autojunk=False).get_opcodes()
    return [("".join(words[start:end]), kind == "equal") for kind, start, end, *_ in blocks if start < end]


def _view(report: Report) -> dict[str, Any]:
    """Template variables beside the report itself."""
    details, data, task = report.details, report.data, task_of(report)
    script = _source("page.js")
    errors = _errors(report)
    return {
        "style": Markup(_source("page.css")),  # noqa: S704 -- a file of this package, no input
        "script": Markup(script),  # noqa: S704 -- as above
        "script_hash": b64encode(sha256(script.encode()).digest()).decode(),
        "outcome": OUTCOME_WORDS[report.outcome.value],
        "ungraded": is_ungraded(report),
        "worst_lead": _WORST_LEADS.get(task) or (_HIGHEST_LOSS if is_ungraded(report) else _SUREST_FIRST),
        "units": _UNITS.get(task, ("Class", "Rows")),
        "has_new_head": task in WITH_NEW_HEAD,
        "summary": summarise(report),
        "leading": leading_metrics(report),
        "merged_by": [one.metric.name for one in leading_metrics(report)],
        **split_comparisons(report),
        "groups": group_table(report),
        "evaluated_rows": evaluated_rows(report),
        "charts": draw_curves(report),
        **errors,
        "has_errors": any(errors.values()) or bool(details and (details.worst or details.suspects)),
        "samples": _other_samples(report, errors["worst"]),
        "writes": task in _WRITES,
        "worst_words": ("chosen", "rejected") if task in _PAIRS else ("expected", "predicted"),
        "is_rewarded": task is Task.POLICY_OPTIMIZATION,
        "without_dropout": task in COMPARES_OUTPUTS,
        "is_wrong": is_wrong,
        "split_names": split_names(data) if data else [],
        "label_rows": label_rows(data) if data else [],
        "spec_yaml": yaml.safe_dump(report.spec, sort_keys=False, allow_unicode=True, width=100),
    }


def _errors(report: Report) -> dict[str, Any]:
    """Template variables of the error analysis; empty without one."""
    details = report.details
    if details is None:
        return {"matrix": [], "mixups": [], "classes": [], "reliability": "", "scatter": "", "worst": []}
    return {
        "matrix": _matrix(report),
        "mixups": worst_mixups(details.confusion, _names(report)),
        "classes": _classes(report),
        "reliability": reliability_diagram(details.reliability),
        "scatter": scatter_diagram(details.scatter),
        "worst": _worst(report),
    }


@cache
def _source(name: str) -> str:
    loader = _environment().loader
    return loader.get_source(_environment(), name)[0] if loader else ""


def _names(report: Report) -> list[str]:
    return [row.label for row in report.details.classes] if report.details else []


def _matrix(report: Report) -> list[Any]:
    confusion = report.details.confusion if report.details else []
    return matrix_cells(confusion, _names(report)) if 0 < len(confusion) <= READABLE else []


def _classes(report: Report) -> list[Any]:
    """Classes in label order for few of them, else the weakest first."""
    rows = report.details.classes if report.details else []
    return list(rows) if len(rows) <= 12 else sorted(rows, key=lambda row: (row.support == 0, row.f1))


def _worst(report: Report) -> list[Sample]:
    """Misclassified rows among those with the highest loss; numbers and texts are not right or wrong."""
    rows = report.details.worst if report.details else []
    return [row for row in rows if is_ungraded(report) or is_wrong(row)]


def _other_samples(report: Report, shown: Sequence[Sample]) -> list[Sample]:
    """Samples that are not shown as worst rows already: of few test rows, most would appear twice."""
    rows = report.details.samples if report.details else []
    known = {(row.text, row.pair, row.expected) for row in shown}
    return [row for row in rows if (row.text, row.pair, row.expected) not in known]


def is_ungraded(report: Report) -> bool:
    """Whether a prediction is a number or a text, which is close rather than right or wrong."""
    return problem_of(report) is ProblemType.REGRESSION or task_of(report) in _WRITES


def is_wrong(sample: Sample) -> bool:
    """Whether a prediction differs from what was expected (classification)."""
    return sample.predicted != sample.expected
