"""`Seq2Seq`: text to text, or question and passage to answer."""

from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.metrics import WRITTEN
from finetune_api.resolved import resolve
from finetune_trainer.data import Examples
from finetune_trainer.data.few_shot_examples import as_many_as_fit, break_between, shown_source
from finetune_trainer.data.mixing import common_prefix
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.seq2seq_tokens import Limits, source_text, tokenise_both, tokenise_targets
from finetune_trainer.data.tokenising.tokens import Tokens, describe_lengths, tokenise
from finetune_trainer.evaluation.generated_text import all_references, text_metrics
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.text_to_text import load_text_to_text
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.few_shot import FewShotRows
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.tasks.text_tasks import constant_text, details_of_texts
from finetune_trainer.training.generation.batches import TEXT, GenerationProgress, as_texts, generate_seq2seq
from finetune_trainer.training.inference import Outputs, run_rows
from finetune_trainer.training.losses.base import TokenLoss
from finetune_trainer.training.losses.token_scores import LOSS, TOKENS, perplexity
from finetune_trainer.training.speedups.labelled_logits import labelled_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CUT = (
    "{} texts to be written are longer than {} tokens (data.maxTargetLength) and lose their end: the model learns to"
    " stop there."
)


@dataclass(frozen=True)
class Seq2Seq(Task):
    """Sequence-to-sequence training on one data set."""

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model with the job's generation config."""
        return load_text_to_text(files, tokenizer, self.spec.evaluation.generation, how)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise inputs and targets. Raises `DataUnreadable` for questions that fill the limit."""
        limits = Limits(max_length, resolve(self.spec).max_target_length or max_length)
        return tokenise_both(self.data.splits[split], self._texts(tokenizer), limits, cache=cache, advance=advance)

    def tokenise_behind(
        self, split: str, chosen: list[list[int]], tokenizer: "PreTrainedTokenizerBase", max_length: int, limit: int
    ) -> FewShotRows:
        """See `SupportsFewShot.tokenise_behind`: inputs with `answer:` and targets, before the row's own input."""
        train, own = self.data.splits["train"], self.data.splits[split]
        mark = break_between([str(train.labels[row]) for row in sorted({row for few in chosen for row in few})])
        limit, tokenizer = max(max_length, min(limit, tokenizer.model_max_length)), self._texts(tokenizer)

        def encode(rows: list[int], counts: list[int]) -> list[tuple[str, int]]:
            texts = []
            for row, few in zip(rows, counts, strict=True):
                examples = [(_source(train, at), str(train.labels[at])) for at in chosen[row][:few]]
                texts.append(shown_source(examples, _source(own, row), mark))
            lengths = [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
            return list(zip(texts, lengths, strict=True))

        made, counts = as_many_as_fit([len(few) for few in chosen], encode, lambda one: one[1] <= limit)
        tokens = tokenise([text for text, _ in made], None, tokenizer, limit)
        most = resolve(self.spec).max_target_length or max_length
        outputs = tokenise_targets([str(label) for label in own.labels], tokenizer, most)
        return FewShotRows(replace(tokens, outputs=outputs), counts, mark)

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], _tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: target lengths, and a warning about truncated targets."""
        limit = resolve(self.spec).max_target_length or 0
        splits = {
            name: split.model_copy(update={"target_lengths": describe_lengths(outputs, limit)})
            for name, split in report.splits.items()
            if (outputs := tokens[name].outputs) is not None
        }
        cut = sum(split.target_lengths.truncated for split in splits.values() if split.target_lengths)
        warnings = [*report.warnings, *([_CUT.format(cut, limit)] if cut else [])]
        return report.model_copy(update={"splits": {**report.splits, **splits}, "warnings": warnings})

    def loss(
        self, tokens: Tokens, _rows: RowSource, _model: nn.Module, _tokenizer: "PreTrainedTokenizerBase"
    ) -> TokenLoss:
        """Cross-entropy of target tokens, end token included."""
        if tokens.outputs is None:
            raise ValueError(tokens)
        return TokenLoss(tokens.outputs.lengths, shift=False, label_smoothing=self.spec.training.label_smoothing)

    def infer(self, model: nn.Module, _split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer`: `loss` and `tokens` of each row [n]; generated texts as `text` [n, bytes]."""
        monitor = context.monitor
        writes = context.generate or self.spec.evaluation.metric in WRITTEN

        def look(batch: dict[str, Tensor]) -> Outputs:
            seen = labelled_logits(model, batch, shift=False)
            outputs = {
                LOSS: seen.row_sums(seen.losses().double()).cpu().numpy(),
                TOKENS: seen.mask.sum(dim=1).cpu().numpy(),
            }
            progress = GenerationProgress(monitor, len(seen.mask), self.spec.evaluation.generation.max_new_tokens)
            written = {TEXT: generate_seq2seq(model, batch, context.tokenizer, progress)} if writes else {}
            progress.finish()
            return outputs | written

        return run_rows(model, rows, look, monitor.without_progress())

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Loss and perplexity; text similarity where texts were generated."""
        loss = float(outputs[LOSS].sum(dtype="float64") / outputs[TOKENS].sum())
        if not isfinite(loss):
            return {}
        metrics = {"evalLoss": loss, "perplexity": perplexity(loss)}
        return metrics | (self._likeness(split, outputs) if TEXT in outputs else {})

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """The least similar texts, and sampled ones."""
        return details_of_texts(self.data.splits[split], outputs, baseline, self.spec.training.seed)

    def constant_answer(self, split: str, outputs: Outputs) -> str:
        """See `Task.constant_answer`: one generated text for all inputs."""
        return constant_text(self.data.splits[split], outputs)

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        return {"prefix": common_prefix(self.spec.data.train), "generation": self.spec.evaluation.generation}

    def _likeness(self, split: str, outputs: Outputs) -> dict[str, float]:
        written, references = as_texts(outputs[TEXT]), all_references(self.data.splits[split])
        return text_metrics(written, references, self.spec.evaluation.generation.answer_after)


def _source(rows: Examples, row: int) -> str:
    return source_text(rows.texts[row], rows.pairs[row] if rows.pairs else None)
