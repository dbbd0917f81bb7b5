"""What fields that are fine one by one can still get wrong together: checks that a schema can't make.

Pure: no file, no network, no model. The trainer and the operator both ask here.
"""

from collections.abc import Iterator

from finetune_api.data import Columns, DataSource
from finetune_api.evaluation import Gate
from finetune_api.failures import Problem
from finetune_api.job import Spec
from finetune_api.metrics import CATALOGUE, Metric, find_metric, suggest_metric
from finetune_api.naming import near_names
from finetune_api.resolved import DEFAULTS
from finetune_api.support import RETENTION
from finetune_api.tasks import MethodType, ProblemType, Task
from finetune_api.training import ClassWeights

_ROLES: dict[Task, frozenset[str]] = {
    Task.SEQUENCE_CLASSIFICATION: frozenset({"text", "text_pair", "label", "group"}),
}
_WITHOUT_ADAPTER = (MethodType.FULL, MethodType.FEATURE_EXTRACTION)


def semantic_problems(spec: Spec) -> list[Problem]:
    """Return one problem for each contradiction in `spec`; empty means that its fields fit together."""
    return [*_sources(spec), *_columns(spec), *_labels(spec), *_training(spec), *_output(spec), *_metrics(spec),
            *_gates(spec)]  # fmt: skip


def _sources(spec: Spec) -> Iterator[Problem]:
    if spec.model.uri.startswith("hf://datasets/"):
        yield Problem(f"{spec.model.uri} is a data set", "spec.model.uri", "name a model: hf://owner/name")
    for place in ("train", "validation", "test"):
        for index, source in enumerate(getattr(spec.data, place)):
            yield from _source(source, f"spec.data.{place}[{index}]")


def _source(source: DataSource, path: str) -> Iterator[Problem]:
    name = source.uri.removeprefix("hf://")
    if name != source.uri and not name.startswith("datasets/"):
        yield Problem(f"{source.uri} is not a data set", f"{path}.uri", f"did you mean hf://datasets/{name}?")
    try:
        "".encode(source.encoding)
    except (LookupError, UnicodeError, ValueError):
        yield Problem(
            f"{source.encoding!r} is not a text encoding", f"{path}.encoding", "use for example utf-8, cp1252 or utf-16"
        )


def _columns(spec: Spec) -> Iterator[Problem]:
    roles = _ROLES.get(spec.task)
    for attribute, field in Columns.model_fields.items():
        column = getattr(spec.data.columns, attribute)
        if roles is not None and column and attribute not in roles:
            used = ", ".join(str(Columns.model_fields[role].alias) for role in Columns.model_fields if role in roles)
            yield Problem(
                f"{spec.task} has no use for the column {column!r}",
                f"spec.data.columns.{field.alias}",
                f"remove it; columns of this task: {used}",
            )


def _labels(spec: Spec) -> Iterator[Problem]:
    labels, path = spec.data.labels, "spec.data.labels"
    problem = labels.problem_type
    repeated = sorted({name for name in labels.names if labels.names.count(name) > 1})
    if repeated:
        yield Problem(f"{', '.join(repeated)} is listed more than once", f"{path}.names", "list each label once")
    if labels.names and problem is ProblemType.REGRESSION:
        yield Problem("Regression has no label names", f"{path}.names", "remove names, or change problemType")
    if labels.separator and problem in (ProblemType.SINGLE_LABEL, ProblemType.REGRESSION):
        yield Problem(
            f"{problem} never splits a label cell",
            f"{path}.separator",
            "remove separator, or set problemType: MultiLabel",
        )


def _training(spec: Spec) -> Iterator[Problem]:
    training = spec.training
    defaults = DEFAULTS.get(spec.task, {}).get(spec.method.type)
    batch = training.batch_size or (defaults.batch_size if defaults else None)
    if batch is not None and training.device_batch_size > batch:
        yield Problem(
            f"{training.device_batch_size} is more than batchSize, which is {batch}",
            "spec.training.deviceBatchSize",
            "lower deviceBatchSize or raise batchSize; 0 lets the trainer choose",
        )
    if spec.data.labels.problem_type is ProblemType.REGRESSION:
        if training.class_weights is not ClassWeights.NONE:
            yield Problem("Regression has no classes to weigh", "spec.training.classWeights", "remove classWeights")
        if training.label_smoothing:
            yield Problem("Regression has no labels to smooth", "spec.training.labelSmoothing", "remove labelSmoothing")


def _output(spec: Spec) -> Iterator[Problem]:
    if spec.output.merge_adapter and spec.method.type in _WITHOUT_ADAPTER:
        yield Problem(
            f"{spec.method.type} has no adapter to merge",
            "spec.output.mergeAdapter",
            "remove it: the whole model is written",
        )


def _metrics(spec: Spec) -> Iterator[Problem]:
    yield from _metric(spec, spec.evaluation.metric, "spec.evaluation.metric")
    for index, gate in enumerate(spec.evaluation.gates):
        yield from _metric(spec, gate.metric, f"spec.evaluation.gates[{index}].metric")


def _metric(spec: Spec, name: str, path: str) -> Iterator[Problem]:
    if spec.task not in CATALOGUE or name.startswith(RETENTION):
        return
    metric, labels = find_metric(spec.task, name), spec.data.labels
    if metric is None:
        yield Problem(f"{spec.task} has no metric {name!r}", path, suggest_metric(spec.task, name))
    elif labels.problem_type not in (ProblemType.AUTO, *metric.problems):
        fitting = [m.name for m in CATALOGUE[spec.task].values() if labels.problem_type in m.problems]
        yield Problem(f"{name} does not apply to {labels.problem_type}", path, f"use one of {', '.join(fitting)}")
    else:
        yield from _known_label(labels.names, name, path)


def _known_label(labels: list[str], metric: str, path: str) -> Iterator[Problem]:
    head, _dot, label = metric.partition(".")
    if label and labels and label not in labels:
        near = near_names(label, labels, count=1)
        hint = f"did you mean {head}.{near[0]}?" if near else f"labels: {', '.join(labels[:20])}"
        yield Problem(f"{label!r} is not one of data.labels.names", path, hint)


def _gates(spec: Spec) -> Iterator[Problem]:
    gates = spec.evaluation.gates
    if gates and not spec.data.test and spec.data.split.test == 0:
        yield Problem(
            "gates are checked on test rows, and there are none",
            "spec.evaluation.gates",
            "set data.split.test above 0 or name files in data.test; validation rows won't do, since they choose the "
            "state that is kept",
        )
    for index, gate in enumerate(gates):
        path = f"spec.evaluation.gates[{index}]"
        yield from _baseline(spec, gate, path)
        metric = find_metric(spec.task, gate.metric)
        if metric is not None:
            yield from _reachable(gate, metric, path)


def _baseline(spec: Spec, gate: Gate, path: str) -> Iterator[Problem]:
    relative = {"maxRegression": gate.max_regression, "minImprovement": gate.min_improvement}
    for name, limit in relative.items():
        if limit is not None and not spec.evaluation.baseline:
            yield Problem(
                f"{limit:g} is relative to the baseline, which is not measured",
                f"{path}.{name}",
                "set evaluation.baseline: true, or use min or max",
            )


def _reachable(gate: Gate, metric: Metric, path: str) -> Iterator[Problem]:
    """Limits outside a metric's range, mostly percentages: nothing could ever pass."""
    percent = "; 80 % is written 0.8" if metric.high == 1 else ""
    if gate.min is not None and gate.min > metric.high:
        hint = f"{metric.name} is never above {metric.high:g}{percent}"
        yield Problem(f"no model can reach {gate.min:g}", f"{path}.min", hint)
    if gate.max is not None and gate.max < metric.low:
        hint = f"{metric.name} is never below {metric.low:g}"
        yield Problem(f"no model can reach {gate.max:g}", f"{path}.max", hint)
    if gate.min_improvement is not None and gate.min_improvement > metric.high - metric.low:
        hint = f"{metric.name} lies between {metric.low:g} and {metric.high:g}{percent}"
        yield Problem(f"no model can improve by {gate.min_improvement:g}", f"{path}.minImprovement", hint)
