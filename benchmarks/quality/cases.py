"""What is measured: data sets with their task, the model that is tuned, and how many rows; all of it is data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_api.tasks import BUILT, MethodType, Task

Blocks = dict[str, dict[str, Any]]
ENCODER, STORIES = "encoder", "stories"
"""Models that are given: a BERT-like encoder, and the tiny language model of the tests."""
SENTENCES, FILLER, SOLVER, JUDGE = "sentences", "filler", "solver", "judge"
"""Models that are made first (see `BASES`)."""
_NOT_COMPARED = {MethodType.MERGE, MethodType.QLORA}  # trains nothing; is there for memory


@dataclass(frozen=True)
class Case:
    """One data set for one task."""

    task: Task
    data: str
    """Folder of the data set."""
    model: str
    """What is tuned: `encoder`, `stories`, or the name of a base that is made first."""
    rows: tuple[int, int, int]
    """Rows to train, validate and test on, at most."""
    figures: tuple[str, ...]
    """Metrics that the table shows, the telling one first."""
    derive: str = ""
    """How rows are made of those of the data set (see `rows.DERIVED`)."""
    blocks: Blocks = field(default_factory=dict)
    """Further blocks of the spec."""
    factor: float = 1
    """Of the default learning rates: small models in few steps of policy optimisation take, and need, far more."""
    judge: str = ""
    """The base that rewards answers, where a model does."""
    note: str = ""
    """What a reader of the table has to know."""

    @property
    def methods(self) -> list[MethodType]:
        """Methods that are compared, in the order of the API."""
        return [method for method in MethodType if method in BUILT[self.task] and method not in _NOT_COMPARED]

    def spec(self, files: Mapping[str, Path], model: Path, judge: Path | None = None) -> dict[str, Any]:
        """`spec` of a job with these rows, by split, without method, budget and output."""
        sources = {split: [{"uri": file.absolute().as_uri()}] for split, file in files.items()}
        base = {"task": self.task.value, "model": {"uri": model.absolute().as_uri()}}
        spec = {**self.blocks, **base, "data": {**sources, **self.blocks.get("data", {})}}
        if judge is not None:
            reward = {"type": "Model", "uri": judge.absolute().as_uri()}
            spec["training"] = {**spec.get("training", {}), "policy": {"reward": reward}}
        return spec


def _classes(data: str, *, group: str = "", rows: tuple[int, int, int] = (300, 100, 400)) -> Case:
    blocks: Blocks = {"data": {"columns": {"text": "text", "label": "label"}, "maxLength": 64}}
    if group:
        blocks["evaluation"] = {"groupColumn": group}
    figures = ("accuracy", "evalLoss", *(["gap.accuracy"] if group else []))
    return Case(Task.SEQUENCE_CLASSIFICATION, data, ENCODER, rows, figures, blocks=blocks)


def _tags(data: str, rows: tuple[int, int, int] = (160, 60, 150)) -> Case:
    blocks: Blocks = {"data": {"columns": {"tokens": "tokens", "tags": "ner_tags"}, "maxLength": 64}}
    return Case(Task.TOKEN_CLASSIFICATION, data, ENCODER, rows, ("f1", "evalLoss"), blocks=blocks)


def _written(data: str, columns: dict[str, str], length: int, rows: tuple[int, int, int]) -> Case:
    blocks: Blocks = {
        "data": {"columns": columns, "maxLength": length},
        "evaluation": {"generation": {"maxNewTokens": 4}},  # what such a model writes says nothing, and takes long
    }
    note = "only the loss says anything of a model this small"
    return Case(Task.CAUSAL_LM, data, STORIES, rows, ("evalLoss", "tokenAccuracy"), blocks=blocks, note=note)


def _pairs(task: Task, model: str, derive: str = "", note: str = "") -> Case:
    preference = task is Task.PREFERENCE
    blocks: Blocks = {"data": {"maxLength": 192 if preference else 96}}
    if preference:
        blocks["evaluation"] = {"generation": {"maxNewTokens": 4}}
    figures = ("rewardAccuracy", "evalLoss", "perplexity") if preference else ("accuracy", "evalLoss")
    return Case(task, "gsm8k_preference", model, (120, 30, 80), figures, derive, blocks, note=note)


def _rewarded(data: str, model: str, blocks: Blocks, *, judge: str = "", derive: str = "", note: str) -> Case:
    blocks = {"evaluation": {"generation": {"maxNewTokens": 24}}, **blocks}
    figures = ("meanReward", "kl")
    told = f"at {_BOLD} times the default learning rates; {note}"
    return Case(
        Task.POLICY_OPTIMIZATION, data, model, (96, 24, 48), figures, derive, blocks, _BOLD, judge=judge, note=told
    )


def _restaurants(derive: str, note: str) -> Case:
    blocks: Blocks = {
        "data": {"columns": {"input": "input", "target": "target"}, "maxLength": 128, "maxTargetLength": 96},
        "evaluation": {"generation": {"maxNewTokens": 64}},
    }
    figures = ("evalLoss", "rougeL")
    return Case(Task.SEQ2SEQ, "e2e_nlg", SENTENCES, (300, 80, 80), figures, derive, blocks, note=note)


_ALPACA = {"prompt": "instruction", "input": "input", "completion": "output"}
_QUESTIONS = {"question": "question", "context": "context", "target": "answer"}
_TEXT: Blocks = {"data": {"columns": {"text": "text"}, "maxLength": 128}}
_BRIEF = "the bare result is preferred over the worked answer"
_BOLD = 50
_HARD = "which of two worked answers is right is more than models this small can tell"

CASES: dict[str, Case] = {
    "tweet_sentiment": _classes("tweet_sentiment"),
    "movie_reviews": _classes("movie_reviews"),
    "identity_toxicity": _classes("identity_toxicity", group="group_type", rows=(200, 60, 800)),
    "wnut17_ner": _tags("wnut17_ner"),
    "uner_zh": _tags("uner_zh", (400, 80, 150)),
    "tiny_shakespeare-masked": Case(
        Task.MASKED_LM, "tiny_shakespeare", FILLER, (120, 40, 60), ("evalLoss", "tokenAccuracy"), blocks=_TEXT,
        note="the encoder's file has no head for this task: one was trained with it on film reviews first",
    ),
    "e2e_nlg": _restaurants("odd", "the base is a small T5 that was trained from random weights on the other half"),
    "e2e_nlg-reversed": _restaurants("odd_reversed", "the same T5 learns what it has never done: facts from sentences"),
    "xquad_en": Case(
        Task.SEQ2SEQ, "xquad_en", SENTENCES, (200, 40, 60), ("evalLoss", "f1"),
        blocks={"data": {"columns": _QUESTIONS, "maxLength": 192, "maxTargetLength": 32},
                "evaluation": {"generation": {"maxNewTokens": 16}}},
        note="the same T5: a model that has read 1,200 sentences can't answer questions, only the loss says anything",
    ),
    "tiny_shakespeare": Case(
        Task.CAUSAL_LM, "tiny_shakespeare", STORIES, (200, 40, 60), ("evalLoss", "tokenAccuracy"), blocks=_TEXT
    ),
    "self_instruct_seed": _written("self_instruct_seed", _ALPACA, 256, (120, 20, 35)),
    "gsm8k": _written("gsm8k", _ALPACA, 256, (160, 40, 60)),
    "gsm8k_preference": _pairs(Task.PREFERENCE, STORIES, note=_HARD),
    "gsm8k_preference-brief": _pairs(Task.PREFERENCE, STORIES, "brief", _BRIEF),
    "gsm8k_preference-scored": _pairs(Task.REWARD_MODEL, ENCODER, note=_HARD),
    "gsm8k_preference-brief-scored": _pairs(Task.REWARD_MODEL, ENCODER, "brief", _BRIEF),
    "gsm8k_preference-rewarded": _rewarded(
        "gsm8k_preference", SOLVER, {"data": {"columns": {"prompt": "prompt"}, "maxLength": 256}}, judge=JUDGE,
        note="the base was tuned on worked answers, the reward model on pairs in which the bare result is preferred",
    ),
    "tiny_shakespeare-rewarded": _rewarded(
        "tiny_shakespeare", STORIES,
        {"data": {"maxLength": 256, "promptTemplate": "{prompt}"},
         "training": {"policy": {"reward": {"type": "Contains"}}}},
        derive="rewarded_word", note="a text that goes on with the word `happy` is rewarded",
    ),
}  # fmt: skip
"""All cases by name, in the order of the tables."""


@dataclass(frozen=True)
class Base:
    """A model that is made before it is tuned, since none of its kind is given."""

    case: Case
    """The training that makes it, in `Full`."""
    epochs: int
    learning_rate: float


BASES: dict[str, Base] = {
    SENTENCES: Base(
        Case(
            Task.SEQ2SEQ, "e2e_nlg", "random T5", (1200, 100, 50), ("evalLoss",), "even",
            {"data": {"columns": {"input": "input", "target": "target"}, "maxLength": 128, "maxTargetLength": 96},
             "evaluation": {"generation": {"maxNewTokens": 4}}},
        ),
        epochs=10,
        learning_rate=1e-3,
    ),
    FILLER: Base(
        Case(
            Task.MASKED_LM, "movie_reviews", ENCODER, (800, 60, 60), ("evalLoss",),
            blocks={"data": {"columns": {"text": "text"}, "maxLength": 64}},
        ),
        epochs=3,
        learning_rate=3e-4,
    ),
    SOLVER: Base(_written("gsm8k", _ALPACA, 256, (600, 40, 20)), epochs=6, learning_rate=2e-3),
    JUDGE: Base(_pairs(Task.REWARD_MODEL, ENCODER, "brief"), epochs=3, learning_rate=1.5e-4),
}  # fmt: skip
"""Models that are made first, by name."""
