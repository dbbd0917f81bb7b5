"""`TokenClassification`: entities of a text, or tags of given words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from json import dumps
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.running_text import running_text, text_words, word_places
from finetune_trainer.data.shapes.tagged_words import cell_words, check_clear
from finetune_trainer.data.tag_schemes import OUTSIDE
from finetune_trainer.data.tags import split_tag
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.data.tokenising.word_tokens import WordTokenizer, seen_words, tokenise_words, word_tokenizer
from finetune_trainer.evaluation.spans import spans
from finetune_trainer.training.losses.tags import SCORES, TAGS, predict_tags

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel


@dataclass(frozen=True)
class InputWords:
    """A row: its text, and the character spans of its words."""

    text: str
    places: list[tuple[int, int]]
    given: bool
    """Whether the words were given, or found in the text."""

    @property
    def words(self) -> list[str]:
        """The words."""
        return [self.text[start:end] for start, end in self.places]


@dataclass(frozen=True)
class Entity:
    """An entity with its character span [start, end) in the text."""

    kind: str
    text: str
    start: int
    end: int
    score: float
    """Mean probability of the tags of its words."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"type": self.kind, "text": self.text, "start": self.start, "end": self.end, "score": self.score}


@dataclass(frozen=True)
class TaggedText:
    """Prediction for one row."""

    row: InputWords
    tags: list[str]
    scores: list[float]
    """Probability of each tag; 0 for words that the model does not see."""
    has_entities: bool
    unseen: int = field(default=0)
    """Words that the model does not see: beyond the limit, or unknown to the tokenizer."""

    @cached_property
    def entities(self) -> list[Entity]:
        """The entities in order; empty for plain tags."""
        return [self._entity(*span) for span in spans(self.tags)] if self.has_entities else []

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        words = {"tokens": self.row.words, "tags": self.tags} if self.row.given or not self.has_entities else {}
        entities = {"entities": [entity.as_dict() for entity in self.entities]} if self.has_entities else {}
        return {"text": self.row.text} | words | entities | ({"unseenWords": self.unseen} if self.unseen else {})

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`: lists are JSON."""
        content = self.as_dict()
        flat = {
            name: dumps(content[name], ensure_ascii=False) for name in ("tokens", "tags", "entities") if name in content
        }
        return {"text": self.row.text} | flat

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        if not self.has_entities:
            return {"tags": " ".join(f"{word}/{tag}" for word, tag in zip(self.row.words, self.tags, strict=True))}
        ends = [0, *(entity.end for entity in self.entities)]
        marked = [
            f"{self.row.text[end : entity.start]}[{entity.text}: {entity.kind} {entity.score:.2f}]"
            for end, entity in zip(ends, self.entities, strict=False)
        ]
        return {"entities": "".join([*marked, self.row.text[ends[-1] :]])}

    def _entity(self, kind: str, first: int, after: int) -> Entity:
        start, end = self.row.places[first][0], self.row.places[after - 1][1]
        score = round(float(np.mean(self.scores[first:after])), 6)
        return Entity(kind, self.row.text[start:end], start, end, score)


class TokenClassificationPredictor:
    """A fine-tuned token classifier."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, columns = tuned, tuned.settings.columns
        tokenizer = text_tokenizer(tuned.tokenizer, split=tuned.settings.split_special_tokens)
        self._words: WordTokenizer = word_tokenizer(tokenizer, tuned.settings.max_length)
        self._tokens_column, self._text_column = columns.tokens or "tokens", columns.text or "text"
        self._has_entities = any(split_tag(tag)[0] for tag in tuned.settings.labels)

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`."""
        return self._text_column

    def roles(self, found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`: words where there is such a column, else texts."""
        if self._tokens_column not in found and self._text_column in found:
            return {"text": self._text_column}
        return {"tokens": self._tokens_column}

    def read(self, row: Row) -> InputWords | Bad:
        """See `Predictor.read`."""
        clean = self._tuned.settings.clean
        if self._tokens_column in row.values:
            check_clear(row.values[self._tokens_column], "--column")
            words = cell_words(row, self._tokens_column, clean)
            return words if isinstance(words, Bad) else InputWords(running_text(words), word_places(words), given=True)
        text = cell_text(row, self._text_column, clean)
        return text if isinstance(text, Bad) else InputWords(text, text_words(text), given=False)

    def predict(self, rows: Sequence[InputWords]) -> Iterator[TaggedText]:
        """See `Predictor.predict`."""
        tuned, words = self._tuned, [row.words for row in rows]
        tokens = tokenise_words(words, None, self._words)
        seen = seen_words(tokens, words, self._words)
        outputs = predict_tags(tuned.model, TokenRows(tokens, tuned.tokenizer.pad_token_id))
        for at, row in enumerate(rows):
            places = seen.get(at, np.arange(len(row.places)))
            tags, scores = [OUTSIDE] * len(row.places), [0.0] * len(row.places)
            for column, word in enumerate(places.tolist()):
                tags[word] = tuned.settings.labels[int(outputs[TAGS][at, column])]
                scores[word] = float(outputs[SCORES][at, column])
            yield TaggedText(row, tags, scores, self._has_entities, len(row.places) - len(places))
