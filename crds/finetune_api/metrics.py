"""Metrics catalogue: meaning, direction, range and tasks."""

from dataclasses import dataclass, replace
from enum import StrEnum

from finetune_api.naming import near_names
from finetune_api.tasks import ProblemType, Task


class Direction(StrEnum):
    """Direction of improvement."""

    HIGHER = "Higher"
    LOWER = "Lower"


@dataclass(frozen=True)
class Metric:
    """A metric of the catalogue. `low` and `high` bound its range."""

    name: str
    direction: Direction
    meaning: str
    problems: frozenset[ProblemType]
    low: float = 0
    high: float = 1

    def better(self, value: float, than: float) -> float:
        """Improvement of `value` over `than`; negative for a deterioration."""
        return value - than if self.direction is Direction.HIGHER else than - value

    @property
    def worst(self) -> float:
        """Worst value of its range."""
        return self.low if self.direction is Direction.HIGHER else self.high


_INFINITE = float("inf")
_SINGLE, _MULTI, _REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION
_HIGHER, _LOWER = Direction.HIGHER, Direction.LOWER

_CLASSIFICATION = (
    Metric(
        "evalLoss",
        _LOWER,
        "the loss that training minimises, without label smoothing and class weights",
        frozenset({_SINGLE, _MULTI, _REGRESSION}),
        high=_INFINITE,
    ),
    Metric("accuracy", _HIGHER, "share of rows that are all right", frozenset({_SINGLE, _MULTI})),
    Metric("balancedAccuracy", _HIGHER, "mean recall of the classes", frozenset({_SINGLE})),
    Metric("f1Macro", _HIGHER, "mean F1 of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("f1Micro", _HIGHER, "F1 over all decisions", frozenset({_SINGLE, _MULTI})),
    Metric("f1Weighted", _HIGHER, "mean F1 of the classes, weighted by their rows", frozenset({_SINGLE, _MULTI})),
    Metric("precisionMacro", _HIGHER, "mean precision of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("recallMacro", _HIGHER, "mean recall of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("matthews", _HIGHER, "Matthews correlation coefficient", frozenset({_SINGLE}), low=-1),
    Metric(
        "rocAuc",
        _HIGHER,
        "area under the ROC curve (one against the rest, mean of classes)",
        frozenset({_SINGLE, _MULTI}),
    ),
    Metric(
        "averagePrecision",
        _HIGHER,
        "area under the precision-recall curve by its steps (average precision), mean of all classes, each against the "
        "rest; of one class alone: `averagePrecision.<label>`",
        frozenset({_SINGLE, _MULTI}),
    ),
    Metric("brier", _LOWER, "mean squared error of the probabilities", frozenset({_SINGLE, _MULTI}), high=2),
    Metric(
        "calibrationError", _LOWER, "expected calibration error, 15 bins of equal mass", frozenset({_SINGLE, _MULTI})
    ),
    Metric("hammingLoss", _LOWER, "share of single label decisions that are wrong", frozenset({_MULTI})),
    Metric("meanSquaredError", _LOWER, "mean squared error", frozenset({_REGRESSION}), high=_INFINITE),
    Metric("rootMeanSquaredError", _LOWER, "root of the mean squared error", frozenset({_REGRESSION}), high=_INFINITE),
    Metric("meanAbsoluteError", _LOWER, "mean absolute error", frozenset({_REGRESSION}), high=_INFINITE),
    Metric("r2", _HIGHER, "share of variance explained", frozenset({_REGRESSION}), low=-_INFINITE),
    Metric("pearson", _HIGHER, "Pearson correlation", frozenset({_REGRESSION}), low=-1),
    Metric("spearman", _HIGHER, "Spearman rank correlation", frozenset({_REGRESSION}), low=-1),
)

_ANY = frozenset[ProblemType]()
_PERPLEXITY = Metric(
    "perplexity", _LOWER, "e to the power of evalLoss; comparable between equal tokenizers only", _ANY, 1, _INFINITE
)
_LIKENESS = (
    Metric("exactMatch", _HIGHER, "share of rows written exactly, but for case, punctuation and articles", _ANY),
    Metric("f1", _HIGHER, "mean F1 of the words (SQuAD's; by character in scripts without spaces)", _ANY),
    Metric("rouge1", _HIGHER, "mean F1 of the words, ROUGE-1 (by character in scripts without spaces)", _ANY),
    Metric("rougeL", _HIGHER, "mean F1 of the longest common subsequence of words, ROUGE-L (as rouge1)", _ANY),
    Metric("chrF", _HIGHER, "character n-gram F-score (chrF2), the same in every language", _ANY),
)
_TEXT_TO_TEXT = (
    Metric("evalLoss", _LOWER, "mean loss of a token of the expected text, without smoothing", _ANY, high=_INFINITE),
    _PERPLEXITY,
    *_LIKENESS,
)

_TOKENS = (
    Metric("evalLoss", _LOWER, "mean loss of a token, without smoothing", _ANY, high=_INFINITE),
    _PERPLEXITY,
    Metric("tokenAccuracy", _HIGHER, "share of tokens that are predicted correctly; by tokenizer, as perplexity", _ANY),
)
_BITS = Metric(
    "bitsPerByte", _LOWER, "bits for a byte of raw text; comparable between tokenizers", _ANY, high=_INFINITE
)

_TAGS = (
    Metric("evalLoss", _LOWER, "mean loss of a word, without label smoothing", _ANY, high=_INFINITE),
    Metric("f1", _HIGHER, "F1 over all entities; one counts where type, first and last word are right", _ANY),
    Metric("precision", _HIGHER, "share of predicted entities that are right", _ANY),
    Metric("recall", _HIGHER, "share of expected entities that are found", _ANY),
    Metric("accuracy", _HIGHER, "share of words with the right tag; most words are in no entity", _ANY),
)

_PREFERENCE = (
    Metric("evalLoss", _LOWER, "mean loss of a pair, without smoothing", _ANY, high=_INFINITE),
    Metric(
        "rewardAccuracy", _HIGHER, "share of pairs with the higher reward on the chosen answer; a tie is half", _ANY
    ),
    Metric(
        "rewardMargin",
        _HIGHER,
        "mean reward of the chosen answers less that of the others",
        _ANY,
        -_INFINITE,
        _INFINITE,
    ),
    Metric("likelihoodAccuracy", _HIGHER, "share of pairs whose chosen answer is likelier, by the mean token", _ANY),
    Metric("perplexity", _LOWER, "perplexity of the chosen answers; by tokenizer", _ANY, 1, _INFINITE),
)
_REWARD = (
    Metric("evalLoss", _LOWER, "mean loss of a pair, without smoothing", _ANY, high=_INFINITE),
    Metric("accuracy", _HIGHER, "share of pairs with the higher score on the chosen answer; a tie is half", _ANY),
    Metric("margin", _HIGHER, "mean score of the chosen answers less that of the others", _ANY, -_INFINITE, _INFINITE),
)
_POLICY = (
    Metric(
        "evalLoss",
        _LOWER,
        "KL penalty minus the mean reward, on greedy answers",
        _ANY,
        -_INFINITE,
        _INFINITE,
    ),
    Metric("meanReward", _HIGHER, "mean reward of greedy answers", _ANY, -_INFINITE, _INFINITE),
    Metric("kl", _LOWER, "KL divergence from the base model, nats per token of greedy answers", _ANY, 0, _INFINITE),
    Metric("exactMatch", _HIGHER, "share of greedy answers that are the expected one, as in CausalLM", _ANY),
)

CATALOGUE: dict[Task, dict[str, Metric]] = {
    Task.SEQUENCE_CLASSIFICATION: {metric.name: metric for metric in _CLASSIFICATION},
    Task.TOKEN_CLASSIFICATION: {metric.name: metric for metric in _TAGS},
    Task.SEQ2SEQ: {metric.name: metric for metric in _TEXT_TO_TEXT},
    Task.CAUSAL_LM: {metric.name: metric for metric in (*_TOKENS, _BITS, *_LIKENESS)},
    Task.MASKED_LM: {metric.name: metric for metric in _TOKENS},
    Task.PREFERENCE: {metric.name: metric for metric in _PREFERENCE},
    Task.REWARD_MODEL: {metric.name: metric for metric in _REWARD},
    Task.POLICY_OPTIMIZATION: {metric.name: metric for metric in _POLICY},
}
DECIDED = ("precision", "recall", "f1")
"""Metrics of one class that look at decisions, named `recall.<label>`."""
RANKED = ("rocAuc", "averagePrecision")
"""Metrics of one class against the rest that look at probabilities, named `averagePrecision.<label>`."""
PER_CLASS = (*DECIDED, *RANKED)
_CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: ("class", frozenset({_SINGLE, _MULTI}), PER_CLASS),
    Task.TOKEN_CLASSIFICATION: ("type of entity", _ANY, DECIDED),
}
"""Tasks with metrics of one class: what a class is, the problem types, and the metrics."""
WRITTEN = frozenset({"exactMatch", "f1", "rouge1", "rougeL", "chrF"})
"""Metrics that look at text that the model has written (tasks that write any)."""


_ALIASES = {
    "loss": "evalLoss", "validation_loss": "evalLoss", "f1": "f1Macro", "mcc": "matthews", "auc": "rocAuc",
    "roc_auc_ovr": "rocAuc", "auprc": "averagePrecision", "precision": "precisionMacro", "recall": "recallMacro",
    "ece": "calibrationError", "mse": "meanSquaredError", "rmse": "rootMeanSquaredError", "mae": "meanAbsoluteError",
    "neg_log_loss": "evalLoss", "pearsonr": "pearson", "spearmanr": "spearman", "acc": "accuracy",
}  # fmt: skip
"""Names that other libraries use, for suggestions only."""


RETENTION = "retention."
"""How names of metrics begin that are taken on `evaluation.retention` rows."""
GAP = "gap."
"""How names begin of the largest difference of a metric between groups of rows."""


def find_metric(task: Task, name: str) -> Metric | None:
    """The metric of that name, also `recall.<label>`, `retention.<name>` and `gap.<name>`; None if unknown."""
    if name.startswith(RETENTION):
        return _retained(task, name)
    if name.startswith(GAP):
        return _gap(task, name)
    head, _dot, label = name.partition(".")
    if label and task in _CLASSES:
        what, problems, heads = _CLASSES[task]
        return Metric(name, _HIGHER, f"{head} of one {what}", problems) if head in heads else None
    return CATALOGUE.get(task, {}).get(name)


def _retained(task: Task, name: str) -> Metric | None:
    """A metric of a retention set, which may be of language modelling while the job's is not."""
    tasks = (task, Task.MASKED_LM, Task.CAUSAL_LM)
    plain = next(filter(None, (find_metric(one, name.removeprefix(RETENTION)) for one in tasks)), None)
    return plain and replace(plain, name=name, meaning=f"{plain.meaning}, on the retention set")


def _gap(task: Task, name: str) -> Metric | None:
    plain = find_metric(task, name.removeprefix(GAP))
    if plain is None:
        return None
    meaning = f"largest difference of {plain.name} between groups of rows"
    return Metric(name, _LOWER, meaning, plain.problems, 0, plain.high - plain.low)


def metric_named(task: Task, name: str) -> Metric:
    """The metric of that name. Raises `KeyError` for unknown ones, which `semantic_problems` reports first."""
    metric = find_metric(task, name)
    if metric is None:
        raise KeyError(name)
    return metric


def suggest_metric(task: Task, name: str) -> str:
    """Suggestion for an unknown name: similar names, else all names."""
    head, dot, label = name.partition(".")
    if dot and task in _CLASSES:
        heads = _CLASSES[task][2]
        alias = _ALIASES.get(head.lower(), "")
        near = near_names(head, heads, count=1) or [alias][: alias in heads]
        return f"did you mean {near[0]}.{label}?" if near else f"metrics of one class: {', '.join(heads)}"
    names = list(CATALOGUE.get(task, {}))
    near = [_ALIASES.get(other, other) for other in near_names(name, [*names, *_ALIASES])]
    meant = [other for other in dict.fromkeys(near) if other in names]
    one = f" Of the positive class alone: {meant[0]}.<label>" if len(meant) == 1 and meant[0] in RANKED else ""
    return f"did you mean {' or '.join(meant)}?{one}" if meant else f"known metrics: {', '.join(names)}"
