"""Few-shot baseline: the base model with training examples in its prompts.

It answers the rows of the final evaluation once more, each behind some training rows with their answers
(arXiv:2005.14165), and is measured as the tuned model is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from torch import nn

from finetune_api.details import ShownExamples
from finetune_trainer.data.few_shot_examples import choose_examples
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.evaluation.details import shorten
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.observer import no_progress
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.training.generation.batches import TEXT, as_bytes, as_texts
from finetune_trainer.training.inference import Outputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEW_SHOT = "fewShot."
_COUNT = "examples"
_PROMPT_SHOWN = 2_000


@dataclass(frozen=True)
class FewShotRows:
    """Rows of a split with few-shot prompts."""

    tokens: Tokens
    counts: list[int]
    """Examples in front of each row."""
    mark: str = ""
    """An answer ends where this begins: a model that goes on with the next question has answered."""


@runtime_checkable
class SupportsFewShot(Protocol):
    """A task whose rows can be prefixed by answered examples."""

    def tokenise_behind(
        self, split: str, chosen: list[list[int]], tokenizer: "PreTrainedTokenizerBase", max_length: int, limit: int
    ) -> FewShotRows:
        """The rows of a split, each behind as many of its `chosen` training rows as fit into `limit` tokens.

        One that has room for none of them is as it is without, within `max_length` tokens.
        """


@dataclass(frozen=True)
class FewShot:
    """The evaluated rows as few-shot prompts, for the base model."""

    task: Task
    split: str
    shown: FewShotRows
    rows: RowSource
    wanted: int
    prompt: str

    def infer(self, model: nn.Module, context: InferenceContext) -> Outputs:
        """Outputs of the current model under prefixed names, beside those of the rows without examples."""
        outputs = self.task.infer(model, self.split, self.rows, context)
        if self.shown.mark and TEXT in outputs:
            outputs[TEXT] = as_bytes([text.partition(self.shown.mark)[0] for text in as_texts(outputs[TEXT])])
        outputs[_COUNT] = np.asarray(self.shown.counts, np.int64)
        return {f"{FEW_SHOT}{name}": values for name, values in outputs.items()}

    def measure(self, outputs: Outputs) -> dict[str, float]:
        """Metrics from prefixed outputs of `infer`; empty without them."""
        own = {name.removeprefix(FEW_SHOT): values for name, values in outputs.items() if name.startswith(FEW_SHOT)}
        return self.task.measure(self.split, own) if own.pop(_COUNT, None) is not None else {}

    @property
    def note(self) -> str:
        """Note on rows without room for all examples; empty without such rows."""
        fewer = self.described.fewer
        if not fewer:
            return ""
        rows = f"{fewer} of {len(self.shown.counts)} {self.split} rows"
        mean = sum(self.shown.counts) / len(self.shown.counts)
        room = f"have no room for {self.wanted} examples in what the model can read"
        return f"{rows} {room}; all rows show {mean:.2g} on average"

    @property
    def described(self) -> ShownExamples:
        """Number of examples and a prompt, for the report."""
        fewer = sum(count < self.wanted for count in self.shown.counts)
        return ShownExamples(wanted=self.wanted, fewer=fewer, prompt=self.prompt)


def few_shot_of(
    task: Task,
    split: str,
    tokenizer: "PreTrainedTokenizerBase",
    adapted: Adapted,
    *,
    max_length: int,
    limit: int,
) -> FewShot | None:
    """The few-shot prompts of the final evaluation, or None where the job requests none.

    `limit` is what the model can take, `max_length` what a row without examples may.
    """
    wanted, data = task.spec.evaluation.few_shot.examples, task.data
    if not (wanted and isinstance(task, SupportsFewShot)):
        return None
    of_its_source = len(data.report.sources) > 1 and not getattr(task.spec.data, split)
    train, asked = data.splits["train"], data.splits[split]
    chosen = choose_examples(train, asked, wanted, task.spec.training.seed, of_its_source=of_its_source)
    shown = task.tokenise_behind(split, chosen, tokenizer, max_length, limit)
    rows = adapted.rows(shown.tokens, no_progress)
    return FewShot(task, split, shown, rows, wanted, _prompt(shown, tokenizer))


def _prompt(shown: FewShotRows, tokenizer: "PreTrainedTokenizerBase") -> str:
    """The first prompt among those with the most examples."""
    tokens, row = shown.tokens, int(np.argmax(shown.counts))
    place = slice(int(tokens.offsets[row]), int(tokens.offsets[row + 1]))
    ids = tokens.ids[place] if tokens.labels is None else tokens.ids[place][tokens.labels[place] == IGNORE_INDEX]
    return shorten(str(tokenizer.decode(ids, skip_special_tokens=True)), _PROMPT_SHOWN)


def without_examples(outputs: Outputs) -> Outputs:
    """Outputs without those of few-shot prompts."""
    return {name: values for name, values in outputs.items() if not name.startswith(FEW_SHOT)}
