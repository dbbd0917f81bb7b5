"""Cross-field checks of a spec whose fields are valid one by one.

Pure: no file, no network, no model. The trainer and the operator both ask here.
"""

from collections.abc import Iterator

from finetune_api.addresses import data_sources
from finetune_api.checks.evaluation import extra_problems, plain_metric, why_not_measured
from finetune_api.checks.merge import merge_problems
from finetune_api.checks.mixing import mixing_problems
from finetune_api.checks.no_effect import ineffective_fields
from finetune_api.checks.packing import packing_problems
from finetune_api.checks.policy import policy_problems
from finetune_api.checks.preference_pairs import pair_problems
from finetune_api.checks.resuming import resume_problems
from finetune_api.checks.sources import source_problems
from finetune_api.checks.unused_fields import unused_fields
from finetune_api.data import Columns, DataSource, Labels
from finetune_api.evaluation import Gate
from finetune_api.failures import Problem
from finetune_api.method import MERGEABLE, Pooling
from finetune_api.metrics import CATALOGUE, Metric, find_metric, suggest_metric
from finetune_api.naming import near_names
from finetune_api.resolved import DEFAULTS
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType, ProblemType, Task
from finetune_api.training import ClassWeights
from finetune_api.uris import hub_data_set

_AROUND = frozenset({"system", "history", "tools"})
"""Columns of what stands around a prompt or chat."""
_ROLES: dict[Task, frozenset[str]] = {
    Task.SEQUENCE_CLASSIFICATION: frozenset({"text", "text_pair", "label", "labels", "group", "difficulty"}),
    Task.TOKEN_CLASSIFICATION: frozenset({"tokens", "tags", "group", "difficulty"}),
    Task.SEQ2SEQ: frozenset({"input", "context", "question", "target", "group", "difficulty"}),
    Task.CAUSAL_LM: frozenset({"text", "prompt", "input", "completion", "messages", "group", "difficulty"}) | _AROUND,
    Task.MASKED_LM: frozenset({"text", "group"}),
    Task.PREFERENCE: frozenset({"prompt", "chosen", "rejected", "group", "difficulty"}) | _AROUND,
    Task.REWARD_MODEL: frozenset({"prompt", "chosen", "rejected", "completion", "group", "difficulty"}) | _AROUND,
    Task.POLICY_OPTIMIZATION: frozenset({"prompt", "input", "completion", "messages", "group", "difficulty"}) | _AROUND,
}
_LABELS_OF = {Task.TOKEN_CLASSIFICATION: "the types of entities"}
_WITHOUT_ADAPTER = (MethodType.FULL, MethodType.FEATURE_EXTRACTION)


def semantic_problems(spec: Spec) -> list[Problem]:
    """One problem per contradiction in `spec`; empty if its fields are consistent."""
    return [*_sources(spec), *_columns(spec), *_questions(spec), *_language_rows(spec), *unused_fields(spec),
            *_labels(spec), *pair_problems(spec), *policy_problems(spec), *_training(spec), *_method(spec),
            *_output(spec), *_metrics(spec), *_gates(spec), *extra_problems(spec), *mixing_problems(spec),
            *merge_problems(spec), *resume_problems(spec), *source_problems(spec),
            *ineffective_fields(spec), *packing_problems(spec)]  # fmt: skip


def _sources(spec: Spec) -> Iterator[Problem]:
    if hub_data_set(spec.model.uri) is not None:
        yield Problem(f"{spec.model.uri} is a data set", "spec.model.uri", "name a model: hf://owner/name")
    for path, source in data_sources(spec):
        yield from _source(source, path)


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
    yield from _roles(spec.task, spec.data.columns, "spec.data.columns", _ROLES[spec.task])
    retention = spec.evaluation.retention
    if retention.columns is not None:
        task = retention.task or spec.task
        measured = _ROLES[task] - {"group", "difficulty"}
        yield from _roles(task, retention.columns, "spec.evaluation.retention.columns", measured)


def _roles(task: Task, columns: Columns, path: str, roles: frozenset[str]) -> Iterator[Problem]:
    for attribute, field in Columns.model_fields.items():
        column = getattr(columns, attribute)
        if column and attribute not in roles:
            used = ", ".join(str(Columns.model_fields[role].alias) for role in Columns.model_fields if role in roles)
            rows = "a retention set" if path.endswith("retention.columns") else "this task"
            message = f"{task} has no use for the column {column!r}"
            yield Problem(message, f"{path}.{field.alias}", f"remove it; columns of {rows}: {used}")


def _questions(spec: Spec) -> Iterator[Problem]:
    columns = spec.data.columns
    if spec.task is Task.SEQ2SEQ and columns.input and (columns.context or columns.question):
        yield Problem(
            "input is the whole source text, context and question are two parts of it",
            "spec.data.columns.input",
            "name input, or context and question",
        )


_SHAPES = (("text",), ("prompt", "completion"), ("messages",))
"""Columns of the three shapes that rows of CausalLM can have."""


def _language_rows(spec: Spec) -> Iterator[Problem]:
    columns = spec.data.columns
    named = [role for roles in _SHAPES for role in roles[:1] if any(getattr(columns, name) for name in roles)]
    if spec.task is Task.CAUSAL_LM and len(named) > 1:
        yield Problem(
            "rows are raw text, prompts with completions, or chats: one of the three",
            f"spec.data.columns.{named[-1]}",
            "name text, or prompt and completion, or messages",
        )


def _labels(spec: Spec) -> Iterator[Problem]:
    labels, path = spec.data.labels, "spec.data.labels"
    problem = labels.problem_type
    repeated = sorted({name for name in labels.names if labels.names.count(name) > 1})
    if repeated:
        yield Problem(f"{', '.join(repeated)} is listed more than once", f"{path}.names", "list each label once")
    if spec.task is Task.TOKEN_CLASSIFICATION:
        for name in ("problem_type", "separator", "decimal"):
            if getattr(labels, name) != Labels.model_fields[name].default:
                where = f"{path}.{Labels.model_fields[name].alias}"
                yield Problem(f"{spec.task} has no use for this", where, "remove it: each word has one tag")
        return
    if labels.names and problem is ProblemType.REGRESSION:
        yield Problem("Regression has no label names", f"{path}.names", "remove names, or change problemType")
    if labels.decimal and problem in (ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL):
        yield Problem(
            f"{problem} has no numbers to read", f"{path}.decimal", "remove decimal, or set problemType: Regression"
        )
    yield from _label_columns(spec)
    if labels.separator and problem in (ProblemType.SINGLE_LABEL, ProblemType.REGRESSION):
        yield Problem(
            f"{problem} never splits a label cell",
            f"{path}.separator",
            "remove separator, or set problemType: MultiLabel",
        )


def _label_columns(spec: Spec) -> Iterator[Problem]:
    columns, labels, path = spec.data.columns.labels, spec.data.labels, "spec.data.labels"
    if not columns:
        return
    if len(set(columns)) < len(columns) or len(columns) == 1:
        message = "one column of zeros and ones is named" if len(columns) == 1 else "a column is named twice"
        yield Problem(message, "spec.data.columns.labels", "name each column once; a single one is columns.label")
    if labels.names and labels.names != list(columns):
        yield Problem("the labels are named by columns.labels", f"{path}.names", "remove names")
    if labels.separator:
        yield Problem("no label cell is split where columns.labels is set", f"{path}.separator", "remove separator")
    if labels.problem_type is ProblemType.REGRESSION:
        yield Problem("columns.labels hold no numbers to predict", f"{path}.problemType", "remove problemType")


def _training(spec: Spec) -> Iterator[Problem]:
    training = spec.training
    defaults = DEFAULTS.get(spec.task, {}).get(spec.method.type)
    batch = training.batch_size or (defaults.batch_size if defaults else None)
    if batch is not None and training.per_device_batch_size > batch:
        yield Problem(
            f"{training.per_device_batch_size} is more than batchSize, which is {batch}",
            "spec.training.perDeviceBatchSize",
            "lower perDeviceBatchSize or raise batchSize; 0 lets the trainer choose",
        )
    if spec.data.labels.problem_type is ProblemType.REGRESSION:
        if training.class_weights is not ClassWeights.NONE:
            yield Problem("Regression has no classes to weigh", "spec.training.classWeights", "remove classWeights")
        if training.label_smoothing:
            yield Problem("Regression has no labels to smooth", "spec.training.labelSmoothing", "remove labelSmoothing")


def _method(spec: Spec) -> Iterator[Problem]:
    if spec.method.type is MethodType.PREFIX_TUNING and spec.training.activation_checkpointing:
        message = "PrefixTuning keeps its prefix in a cache, which can't be recomputed"
        yield Problem(message, "spec.training.activationCheckpointing", "remove it, or use another method")
    features = spec.method.feature_extraction
    if spec.task is Task.TOKEN_CLASSIFICATION and features is not None and features.pooling is Pooling.MEAN:
        message, hint = (
            "words are tagged by vectors of their own, so there is nothing to pool",
            "use Auto, or remove it",
        )
        yield Problem(message, "spec.method.featureExtraction.pooling", hint)


def _output(spec: Spec) -> Iterator[Problem]:
    if not spec.output.merge_adapter or spec.method.type in (*MERGEABLE, MethodType.MERGE):
        return
    why, hint = "has no adapter to merge", "remove it: the whole model is written"
    if spec.method.type not in _WITHOUT_ADAPTER:
        why, hint = "is no change of weights, so it can't be merged into them", "remove it, or use method LoRA"
    yield Problem(f"{spec.method.type} {why}", "spec.output.mergeAdapter", hint)


def _metrics(spec: Spec) -> Iterator[Problem]:
    yield from _metric(spec, spec.evaluation.metric, "spec.evaluation.metric")
    for index, gate in enumerate(spec.evaluation.gates):
        yield from _metric(spec, gate.metric, f"spec.evaluation.gates[{index}].metric")


def _metric(spec: Spec, name: str, path: str) -> Iterator[Problem]:
    unmeasured = why_not_measured(spec, name, path)
    task, name = plain_metric(spec, name)
    if unmeasured or task not in CATALOGUE:
        yield from [unmeasured] if unmeasured else []
        return
    metric, labels = find_metric(task, name), spec.data.labels
    if metric is None:
        yield Problem(f"{task} has no metric {name!r}", path, suggest_metric(task, name))
    elif metric.problems and labels.problem_type not in (ProblemType.AUTO, *metric.problems):
        fitting = [m.name for m in CATALOGUE[task].values() if labels.problem_type in m.problems]
        yield Problem(f"{name} does not apply to {labels.problem_type}", path, f"use one of {', '.join(fitting)}")
    else:
        yield from _known_label(task, labels.names, name, path)


def _kinds(tags: list[str]) -> list[str]:
    """Class names of per-class metrics: entity types without the prefix, or plain tags."""
    bare = [tag[2:] if tag[1:2] == "-" and tag[0] in "BIESLU" else tag for tag in tags if tag != "O"]
    return list(dict.fromkeys(bare))


def _known_label(task: Task, labels: list[str], metric: str, path: str) -> Iterator[Problem]:
    head, _dot, label = metric.partition(".")
    labels = _kinds(labels) if task is Task.TOKEN_CLASSIFICATION else labels
    if label and labels and label not in labels:
        near = near_names(label, labels, count=1)
        hint = f"did you mean {head}.{near[0]}?" if near else f"labels: {', '.join(labels[:20])}"
        yield Problem(f"{label!r} is not one of {_LABELS_OF.get(task, 'data.labels.names')}", path, hint)


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
    """Yield problems of gates outside a metric's range, mostly percentages: nothing could pass them."""
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
