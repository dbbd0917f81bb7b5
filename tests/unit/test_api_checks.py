"""Contradictions between fields, each found where it is."""

from typing import Any

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.fields import fields, parse_path, schema_path
from finetune_api.spec import Spec

MINIMAL: dict[str, Any] = {
    "task": "SequenceClassification",
    "model": {"uri": "hf://a/b"},
    "data": {"train": [{"uri": "file://x.csv"}]},
    "output": {"uri": "file://out"},
}


def problems_of(**parts: Any) -> list[tuple[str, str, str]]:
    """Field, message and hint of the problems of the minimal spec with some parts replaced or extended."""
    spec = MINIMAL | parts
    spec["data"] = MINIMAL["data"] | parts.get("data", {})
    problems = semantic_problems(Spec.model_validate(spec))
    assert all(schema_path(parse_path(problem.where)) in fields() for problem in problems)
    assert all(problem.hint for problem in problems)
    return [(problem.where.removeprefix("spec."), problem.message, problem.hint) for problem in problems]


def gates(*gates: dict[str, Any], **evaluation: Any) -> dict[str, Any]:
    return {"gates": list(gates), **evaluation}


FINE: list[dict[str, Any]] = [
    {},
    {"evaluation": gates({"metric": "accuracy", "min": 0.8}, {"metric": "recall.a", "maxRegression": 0.1})},
    {"evaluation": {"metric": "recall.billing", "baseline": False}},
    {"evaluation": gates({"metric": "accuracy", "min": 0.8}, baseline=False)},
    {"evaluation": gates({"metric": "evalLoss", "max": 80})},
    {"evaluation": gates({"metric": "accuracy", "min": 1})},
    {"evaluation": {"metric": "recall.a"}, "data": {"labels": {"names": ["a", "b"]}}},
    {"evaluation": {"metric": "pearson"}, "data": {"labels": {"problemType": "Regression"}}},
    {"evaluation": {"metric": "hammingLoss"}, "data": {"labels": {"problemType": "MultiLabel", "separator": "|"}}},
    {"data": {"split": {"test": 0}}},
    {"data": {"split": {"test": 0, "validation": 0}}},
    {
        "data": {"split": {"test": 0}, "test": [{"uri": "file://t.csv"}]},
        "evaluation": gates({"metric": "r2", "min": 0}),
    },
    {"data": {"columns": {"text": "body", "textPair": "title", "label": "queue"}}},
    {"data": {"train": [{"uri": "hf://datasets/a/b"}, {"uri": "file://x.csv", "encoding": "CP1252"}]}},
    {"training": {"batchSize": 8, "perDeviceBatchSize": 8}},
    {"output": {"uri": "file://out", "mergeAdapter": True}},
    {"method": {"type": "IA3"}, "output": {"uri": "file://out", "mergeAdapter": True}},
    {"method": {"type": "QLoRA"}},
    {"method": {"type": "QLoRA"}, "compute": {"gpusPerNode": 1}},
    {"task": "TokenClassification", "method": {"type": "FeatureExtraction", "featureExtraction": {"pooling": "Head"}}},
    {"method": {"type": "FeatureExtraction", "featureExtraction": {"pooling": "Mean"}}},
    {"task": "CausalLM", "data": {"columns": {"prompt": "q"}}, "evaluation": {"metric": "perplexity"}},
    {
        "evaluation": gates(
            {"metric": "retention.perplexity", "maxRegression": 0.1}, {"metric": "gap.recall.a", "max": 1}
        )
        | {"retention": {"data": [{"uri": "file://old.csv"}], "task": "MaskedLM"}, "groupColumn": "team"}
    },
    {"task": "CausalLM", "evaluation": {"retention": {"data": [{"uri": "file://old.csv"}]}}},
    {
        "task": "PolicyOptimization",
        "training": {"policy": {"reward": {"type": "NumberMatch"}}},
        "evaluation": gates(
            {"metric": "retention.perplexity", "maxRegression": 1}, {"metric": "gap.meanReward", "max": 1}
        )
        | {"retention": {"data": [{"uri": "file://old.csv"}], "task": "CausalLM"}, "groupColumn": "team"},
    },
]


@pytest.mark.parametrize("parts", FINE, ids=str)
def test_what_fits_together_passes(parts: dict[str, Any]) -> None:
    assert problems_of(**parts) == []


REGRESSION = {"labels": {"problemType": "Regression"}}
OLD = {"data": [{"uri": "file://old.csv"}]}
AT_ODDS: list[tuple[dict[str, Any], str, str]] = [
    ({"evaluation": {"metric": "retention.accuracy", "retention": OLD}}, "evaluation.metric", "can't choose the best"),
    ({"evaluation": gates({"metric": "retention.f1Macro", "min": 0})}, "evaluation.gates[0].metric", "there is none"),
    (
        {"evaluation": gates({"metric": "retention.rouge", "min": 0}) | {"retention": OLD}},
        "evaluation.gates[0].metric",
        "has no metric 'rouge'",
    ),
    ({"evaluation": gates({"metric": "gap.accuracy", "max": 0.1})}, "evaluation.gates[0].metric", "groups of rows"),
    (
        {"evaluation": gates({"metric": "gap.gap.accuracy", "max": 0.1}) | {"groupColumn": "g"}},
        "evaluation.gates[0].metric",
        "no metric 'gap.gap.accuracy'",
    ),
    ({"evaluation": {"retention": {"task": "MaskedLM"}}}, "evaluation.retention", "no retention set"),
    ({"evaluation": {"retention": OLD | {"task": "Seq2Seq"}}}, "evaluation.retention.task", "has no head for it"),
    (
        {"task": "CausalLM", "evaluation": {"retention": OLD | {"task": "SequenceClassification"}}},
        "evaluation.retention.task",
        "skills that can be measured: CausalLM",
    ),
    (
        {"method": {"type": "FeatureExtraction"}, "evaluation": {"retention": OLD | {"task": "MaskedLM"}}},
        "evaluation.retention.task",
        "forgets nothing",
    ),
    (
        {"task": "Preference", "evaluation": {"retention": OLD | {"task": "MaskedLM"}}},
        "evaluation.retention.task",
        "skills that can be measured: Preference, CausalLM",
    ),
    ({"task": "MaskedLM", "evaluation": {"groupColumn": "g"}}, "evaluation.groupColumn", "stretches of text"),
    (
        {"data": {"columns": {"group": "a"}}, "evaluation": {"groupColumn": "b"}},
        "evaluation.groupColumn",
        "name the column of the groups once",
    ),
    ({"evaluation": {"retention": {"data": [{"uri": "hf://a/b"}]}}}, "evaluation.retention.data[0].uri", "hf://datasets/a/b"),
    ({"model": {"uri": "hf://datasets/a/b"}}, "model.uri", "is a data set"),
    (
        {"task": "CausalLM", "data": {"columns": {"text": "t", "completion": "c"}}},
        "data.columns.prompt",
        "one of the three",
    ),
    ({"training": {"lossOn": "All"}}, "training.lossOn", "it is for CausalLM"),
    ({"data": {"train": [{"uri": "hf://a/b"}]}}, "data.train[0].uri", "did you mean hf://datasets/a/b?"),
    ({"data": {"test": [{"uri": "file://t", "encoding": "hex"}]}}, "data.test[0].encoding", "'hex' is not a text"),
    ({"data": {"train": [{"uri": "file://t", "encoding": "a\0"}]}}, "data.train[0].encoding", "not a text encoding"),
    ({"data": {"columns": {"messages": "m"}}}, "data.columns.messages", "no use for the column 'm'"),
    ({"data": {"labels": {"names": ["a", "b", "a"]}}}, "data.labels.names", "a is listed more than once"),
    ({"data": {"labels": {"problemType": "Regression", "names": ["a"]}}}, "data.labels.names", "no label names"),
    ({"data": {"labels": {"problemType": "SingleLabel", "separator": "|"}}}, "data.labels.separator", "MultiLabel"),
    ({"training": {"perDeviceBatchSize": 17}}, "training.perDeviceBatchSize", "17 is more than batchSize, which is 16"),
    ({"data": REGRESSION, "training": {"classWeights": "Balanced"}}, "training.classWeights", "no classes"),
    ({"data": REGRESSION, "training": {"labelSmoothing": 0.1}}, "training.labelSmoothing", "no labels to smooth"),
    ({"method": {"type": "FeatureExtraction"}, "output": {"uri": "file://o", "mergeAdapter": True}},
     "output.mergeAdapter", "FeatureExtraction has no adapter"),
    ({"method": {"type": "PTuning"}, "output": {"uri": "file://o", "mergeAdapter": True}},
     "output.mergeAdapter", "PTuning is no change of weights"),
    ({"method": {"type": "PrefixTuning"}, "training": {"activationCheckpointing": True}},
     "training.activationCheckpointing", "can't be recomputed"),
    ({"task": "TokenClassification", "method": {"type": "FeatureExtraction", "featureExtraction": {"pooling": "Mean"}}},
     "method.featureExtraction.pooling", "words are tagged by vectors of their own"),
    ({"evaluation": {"metric": "f1"}}, "evaluation.metric", "did you mean f1Macro?"),
    ({"evaluation": {"metric": "support.a"}}, "evaluation.metric", "metrics of one class"),
    ({"evaluation": {"metric": "recall.a"}, "data": REGRESSION}, "evaluation.metric", "does not apply to Regression"),
    ({"evaluation": {"metric": "recall.C"}, "data": {"labels": {"names": ["a", "b"]}}}, "evaluation.metric", "s: a, b"),
    ({"evaluation": gates({"metric": "accuracy", "min": 80})}, "evaluation.gates[0].min", "80 % is written 0.8"),
    ({"evaluation": gates({"metric": "evalLoss", "max": -1})}, "evaluation.gates[0].max", "never below 0"),
    ({"evaluation": gates({"metric": "recall.a", "minImprovement": 5})}, "evaluation.gates[0].minImprovement", "by 5"),
    ({"evaluation": gates({"metric": "accuracy", "maxRegression": 0}, baseline=False)},
     "evaluation.gates[0].maxRegression", "0 is relative to the baseline, which is not measured"),
    ({"evaluation": gates({"metric": "accuracy", "min": 0.8}), "data": {"split": {"test": 0}}},
     "evaluation.gates", "there are none"),
]  # fmt: skip


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize(("parts", "field", "words"), AT_ODDS, ids=[f"{field}: {words}" for _, field, words in AT_ODDS])
def test_what_is_at_odds_is_found(parts: dict[str, Any], field: str, words: str) -> None:
    problems = problems_of(**parts)
    assert [where for where, _, _ in problems] == [field]
    assert words in f"{problems[0][1]}\n{problems[0][2]}"


def test_all_contradictions_are_found_at_once() -> None:
    problems = problems_of(
        data={"split": {"test": 0}, "columns": {"chosen": "c"}},
        evaluation=gates({"metric": "bleu", "minImprovement": 1}, baseline=False),
    )
    assert [where for where, _, _ in problems] == [
        "data.columns.chosen",
        "evaluation.gates[0].metric",
        "evaluation.gates",
        "evaluation.gates[0].minImprovement",
    ]
