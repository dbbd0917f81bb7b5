"""`Seq2Seq`: a generated text per text, or per question about a passage."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from finetune_api.data_report import Place
from finetune_api.evaluation import Generation
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.seq2seq_tokens import tokenise_sources
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.models.text_to_text import set_generation_config
from finetune_trainer.training.generation.batches import as_texts, generate_seq2seq
from finetune_trainer.training.inference import Outputs, run_rows

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel


@dataclass(frozen=True)
class WrittenText:
    """Text generated for one row."""

    inputs: dict[str, str]
    """Text by role: `input`, or `question` and `context`."""
    output: str

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        return {**self.inputs, "output": self.output}

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`."""
        return self.as_dict()

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        return {**self.inputs, "output": self.output}


@dataclass(frozen=True)
class TextToWriteFor:
    """One input: its texts by role, and its location."""

    texts: dict[str, str]
    place: Place


class Seq2SeqPredictor:
    """A fine-tuned encoder-decoder."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, columns = tuned, tuned.settings.columns
        asks = bool(columns.question or columns.context)
        sources = ("question", "context") if asks else ("input",)
        self._roles = {role: getattr(columns, role) or role for role in sources}
        set_generation_config(tuned.model, tuned.tokenizer, tuned.settings.generation or Generation())

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`."""
        return next(iter(self._roles.values()))

    def roles(self, _found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`."""
        return self._roles

    def read(self, row: Row) -> TextToWriteFor | Bad:
        """See `Predictor.read`."""
        texts: dict[str, str] = {}
        for role, column in self._roles.items():
            text = cell_text(row, column, self._tuned.settings.clean)
            if isinstance(text, Bad):
                return text
            texts[role] = text
        return TextToWriteFor(texts, row.place)

    def predict(self, rows: Sequence[TextToWriteFor]) -> Iterator[WrittenText]:
        """See `Predictor.predict`. Raises `DataUnreadable` for a question that leaves no room for its passage."""
        model, tokenizer = self._tuned.model, self._tuned.tokenizer
        first, *others = ([row.texts[role] for row in rows] for role in self._roles)
        first = [self._tuned.settings.prefix + text for text in first]
        contexts, places = (others[0] if others else None), [row.place for row in rows]
        own = text_tokenizer(tokenizer, split=self._tuned.settings.split_special_tokens)
        tokens = tokenise_sources(first, contexts, places, own, self._tuned.settings.max_length)

        def look(batch: dict[str, Tensor]) -> Outputs:
            return {"text": generate_seq2seq(model, batch, tokenizer)}

        texts = as_texts(run_rows(model, TokenRows(tokens, tokenizer.pad_token_id), look)["text"])
        for row, text in zip(rows, texts, strict=True):
            yield WrittenText(row.texts, text)
