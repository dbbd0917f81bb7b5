from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.label_cells import Passage
from finetune_trainer.data.labels import NO_LABELS
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.seq2seq_tokens import Limits, source_text, tokenise_both

CONTEXT = "The tower was built in 1889 by an engineer whose name it bears. " * 4
QUESTIONS = ["When was the tower built?", "Who built it?"]
ANSWERS = ["in 1889", "an engineer whose name the tower bears to this day"]


@pytest.fixture(scope="module")
def tokenizer(encoder_decoder: Callable[..., Path]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(encoder_decoder("t5", [*QUESTIONS, CONTEXT, *ANSWERS, "question: context:"]))


def rows(contexts: list[str] | None = None, answers: list[str] = ANSWERS) -> Examples:
    places = [Place(file="rows.jsonl", line=line) for line in (1, 2)]
    return Examples(QUESTIONS, contexts, [Passage(answer) for answer in answers], NO_LABELS, places)


def texts_of(tokens: Any, tokenizer: Any) -> list[str]:
    parts = np.split(tokens.ids, tokens.offsets[1:-1])
    return [tokenizer.decode(part) for part in parts]


def test_only_the_context_is_cut(tokenizer: Any) -> None:
    tokens = tokenise_both(rows([CONTEXT, CONTEXT]), tokenizer, Limits(40, 32))
    assert tokens.lengths.tolist() == [40, 40]
    assert (tokens.full_lengths > 60).all()
    for question, text in zip(QUESTIONS, texts_of(tokens, tokenizer), strict=True):
        assert text.startswith(f"question: {question} context: The tower was built")
        assert text.endswith("</s>")
        assert source_text(question, CONTEXT).startswith(text.removesuffix("</s>"))


@pytest.mark.causes("DataUnreadable")
def test_a_question_that_fills_the_limit_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(DataUnreadable) as caught:
        tokenise_both(rows([CONTEXT, CONTEXT]), tokenizer, Limits(5, 32))
    first, last = caught.value.problems
    assert (first.where, last.where) == ("rows.jsonl:1", "rows.jsonl:2")
    assert "no room for its context" in first.message
    assert "spec.data.maxLength" in last.hint


def test_texts_to_be_written_end_and_are_cut_with_their_end(tokenizer: Any) -> None:
    outputs = tokenise_both(rows(), tokenizer, Limits(40, 6)).outputs
    assert outputs is not None
    ends = outputs.ids[outputs.offsets[1:] - 1]
    assert ends.tolist() == [tokenizer.eos_token_id] * 2
    assert outputs.lengths.max() == 6
    assert outputs.full_lengths[1] > 6
    whole = tokenise_both(rows(), tokenizer, Limits(40, 64)).outputs
    assert whole is not None
    assert whole.lengths.tolist() == whole.full_lengths.tolist() == outputs.full_lengths.tolist()


def test_the_cache_knows_inputs_targets_and_limits(tokenizer: Any, tmp_path: Path) -> None:
    def lengths(limits: Limits, examples: Examples) -> tuple[list[int], list[int]]:
        tokens = tokenise_both(examples, tokenizer, limits, cache=tmp_path)
        assert tokens.outputs is not None
        return tokens.lengths.tolist(), tokens.outputs.lengths.tolist()

    first = lengths(Limits(40, 32), rows())
    assert lengths(Limits(40, 32), rows()) == first
    assert len(list(tmp_path.iterdir())) == 1
    assert lengths(Limits(40, 4), rows()) != first
    assert lengths(Limits(40, 32), rows([CONTEXT, CONTEXT])) != first
    assert lengths(Limits(40, 32), rows(answers=["yes", "no"])) != first
    assert len(list(tmp_path.iterdir())) == 4


def test_the_decoder_is_fed_the_tokens_before(tokenizer: Any) -> None:
    tokens = tokenise_both(rows(), tokenizer, Limits(40, 32))
    assert tokens.outputs is not None
    source = TokenRows(tokens, pad_id=0, start_id=2)
    assert source.lengths.tolist() == (tokens.lengths + tokens.outputs.lengths).tolist()
    batch = source.collate(np.asarray([0, 1]))
    labels, before = batch["labels"], batch["decoder_input_ids"]
    short = int(tokens.outputs.lengths[0])
    assert (labels[0, short:] == -100).all()
    assert (labels[1] != -100).all()
    assert before[:, 0].tolist() == [2, 2]
    assert torch.equal(before[1, 1:], labels[1, :-1])
    assert torch.equal(before[0, 1:short], labels[0, : short - 1])
    assert (before[0, short + 1 :] == 0).all()


def test_targets_use_the_mode_for_targets(tokenizer: Any) -> None:
    """Translation models have two languages; the tokenizer says which by its mode."""

    class Translating(type(tokenizer)):  # type: ignore[misc]
        def _switch_to_target_mode(self) -> None:
            self.mode = "target"

        def _switch_to_input_mode(self) -> None:
            self.mode = "input"

    translating = Translating(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>", pad_token="<pad>")
    tokenise_both(replace(rows()), translating, Limits(40, 32))
    assert translating.mode == "input"
