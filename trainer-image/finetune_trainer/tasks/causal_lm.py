"""`CausalLM`: next-token prediction on raw text, prompts with completions, or chats."""

from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from finetune_api.data import Columns
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.failures import DataEmpty, SpecInvalid
from finetune_api.metrics import WRITTEN
from finetune_api.training import LossOn
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.few_shot_examples import FewShotPrompt, as_many_as_fit, break_between, shown_turns
from finetune_trainer.data.mixing import common_prefix
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.job_prompts import form_of
from finetune_trainer.data.tokenising.learned import describe_training_tokens
from finetune_trainer.data.tokenising.prompt_formats import PlainPrompt, PromptFormat
from finetune_trainer.data.tokenising.prompt_tokens import EncodedRow, encode_rows, joined_rows, tokenise_prompts
from finetune_trainer.data.tokenising.raw_tokens import tokenise_stream
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.evaluation.generated_text import all_references, text_metrics
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.language import load_causal
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.few_shot import FewShotRows
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.tasks.text_tasks import constant_text, details_of_texts
from finetune_trainer.training.generation.batches import TEXT, as_bytes, as_texts
from finetune_trainer.training.generation.causal import GenerationSettings, generate_texts, last_prompt, stop_ids
from finetune_trainer.training.generation.samples import generate_samples, read_samples
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.base import TokenLoss
from finetune_trainer.training.losses.token_scores import LOSS, evaluate_tokens, token_metrics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LOSS_ON = "spec.training.lossOn"


@dataclass(frozen=True)
class CausalLM(Task):
    """Causal language modelling on one data set."""

    @property
    def answers(self) -> bool:
        """Whether rows are prompts or chats, which end with an answer, not raw text."""
        return "text" not in self.data.report.columns

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model."""
        return load_causal(files, tokenizer, how)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split: raw text as blocks, prompts and chats with labels on answers.

        Validation and test rows have labels on answers alone, whatever is learned. Raises `SpecInvalid` for a
        `lossOn` that asks for answers of raw text and for templates that don't fit, `DataEmpty` where nothing is left
        to learn.
        """
        rows = self.data.splits[split]
        if not self.answers:
            if self.spec.training.loss_on not in (None, LossOn.ALL):
                message, hint = (
                    "raw text has no answers to learn",
                    "remove lossOn, or name data.columns.prompt and completion",
                )
                raise SpecInvalid(message, where=_LOSS_ON, hint=hint)
            return tokenise_stream(rows.texts, self._texts(tokenizer), max_length, cache=cache, advance=advance)
        everything = split == "train" and self.spec.training.loss_on is LossOn.ALL
        form = self._form(tokenizer)
        tokens = tokenise_prompts(
            rows.turns, form, tokenizer, max_length, everything=everything, cache=cache, advance=advance
        )
        if not tokens.counted.any():
            message, hint = f"no {split} row has a token to learn", "check data.chatTemplate, and raise data.maxLength"
            raise DataEmpty(message, where=f"spec.data.{split}", hint=hint)
        return tokens

    def tokenise_behind(
        self, split: str, chosen: list[list[int]], tokenizer: "PreTrainedTokenizerBase", max_length: int, limit: int
    ) -> FewShotRows:
        """See `SupportsFewShot.tokenise_behind`: examples as earlier messages of a chat, or as prompts."""
        train, own = self._rows("train"), self._rows(split).turns
        form, mark = self._form(tokenizer), ""
        plain = [row.fitted(max_length) for row in encode_rows(own, form, tokenizer)]
        if isinstance(form, PlainPrompt):
            mark = break_between([train.turns[row][-1].text for row in sorted({row for few in chosen for row in few})])
            form = FewShotPrompt(form, mark)
        to_write = min(self.spec.evaluation.generation.max_new_tokens, limit // 2)

        def encode(rows: list[int], counts: list[int]) -> list[EncodedRow]:
            shown = [[train.turns[at] for at in chosen[row][:few]] for row, few in zip(rows, counts, strict=True)]
            turns = [shown_turns(few, own[row]) for few, row in zip(shown, rows, strict=True)]
            behind = zip(rows, counts, encode_rows(turns, form, tokenizer), strict=True)
            return [
                made.ending(len(plain[row].answers), plain[row].answer_length) if few else plain[row]
                for row, few, made in behind
            ]

        def fits(row: EncodedRow) -> bool:
            return row.prompt_length + max(row.answer_length, to_write) <= limit

        made, counts = as_many_as_fit([len(few) for few in chosen], encode, fits)
        return FewShotRows(joined_rows(made, [len(row.ids) for row in made]), counts, mark)

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: truncation, and the first row with its labelled parts."""
        return describe_training_tokens(report, tokens, tokenizer, answers=self.answers)

    def loss(
        self, tokens: Tokens, _rows: RowSource, _model: nn.Module, _tokenizer: "PreTrainedTokenizerBase"
    ) -> TokenLoss:
        """Cross-entropy of labelled tokens, each predicted from its predecessors."""
        return TokenLoss(tokens.counted, shift=True, label_smoothing=self.spec.training.label_smoothing)

    def infer(self, model: nn.Module, _split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer`: `loss`, `tokens` and `hits` of each row or block [n].

        Where rows have answers, also what the model answers, as `text` [n, bytes]; of raw text, `generate_samples`.
        """
        tokenizer, monitor = context.tokenizer, context.monitor
        if not context.generate and not (self.answers and self.spec.evaluation.metric in WRITTEN):
            return evaluate_tokens(model, rows, monitor, shift=True)
        settings = self.spec.evaluation.generation
        if not self.answers:
            generation = GenerationSettings(tokenizer, settings, stop_ids(model, tokenizer, None))
            return evaluate_tokens(model, rows, monitor, shift=True) | generate_samples(
                model, rows, generation, monitor.without_progress()
            )
        outputs = evaluate_tokens(model, rows, monitor.without_progress(), shift=True)
        one = (rows.collate(np.asarray([row])) for row in range(len(rows.lengths)))
        prompts = [last_prompt(batch["input_ids"][0].numpy(), batch["labels"][0].numpy()) for batch in one]
        generation = GenerationSettings(tokenizer, settings, stop_ids(model, tokenizer, self._form(tokenizer)))
        return {**outputs, TEXT: as_bytes(generate_texts(model, prompts, generation, monitor))}

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Loss, perplexity, token accuracy; bits per byte of raw text, similarity of answers to the references."""
        metrics, rows = token_metrics(outputs), self._rows(split)
        if metrics and not self.answers:
            bits = float(outputs[LOSS].sum()) / log(2)
            return metrics | {"bitsPerByte": bits / sum(len(text.encode()) for text in rows.texts)}
        if not metrics or TEXT not in outputs:
            return metrics
        after = self.spec.evaluation.generation.answer_after
        return metrics | text_metrics(as_texts(outputs[TEXT]), all_references(rows), after)

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """The least similar answers, and sampled ones; for raw text, generated continuations."""
        if not self.answers:
            return Details(samples=read_samples(outputs, baseline))
        return details_of_texts(self._rows(split), outputs, baseline, self.spec.training.seed)

    def constant_answer(self, split: str, outputs: Outputs) -> str:
        """See `Task.constant_answer`: one generated text for all inputs."""
        return constant_text(self.data.splits[split], outputs)

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        return {
            "columns": Columns.model_validate(self.data.report.columns),
            "clean": keeping_white_space(self.spec.data.clean),
            "prompt_template": self.spec.data.prompt_template,
            "prefix": common_prefix(self.spec.data.train),
            "generation": self.spec.evaluation.generation,
        }

    def _form(self, tokenizer: "PreTrainedTokenizerBase") -> PromptFormat:
        return form_of(self.spec, self.data.report, tokenizer)
