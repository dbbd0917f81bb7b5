"""Text to text with examples in front of the input: the exact text, what is cut, and a whole run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_api.data_report import DataReport, Place
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.data.labels import NO_LABELS
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.tasks.seq2seq import Seq2Seq

ROOT = Path(__file__).parents[3]
RESTAURANTS = ROOT / "examples/data/e2e_restaurants.jsonl"
QUESTIONS = [("Who ran?", "Lily ran. Tom sat.", "Lily"), ("Who sat?", "Max sat. Sue hid.", "Max")]
ASKED = [("Who hid?", "Ann hid. Joe ate.", "Ann")]
TEXTS = [text for row in (*QUESTIONS, *ASKED) for text in row] + ["question: context: answer: ###"]
Rows = list[tuple[str, str, str]]


@pytest.fixture
def tokenizer(encoder_decoder: Callable[..., Path]) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(encoder_decoder("t5", TEXTS))


def examples(rows: Rows, *, passages: bool) -> Examples:
    places = [Place(file="rows.jsonl", line=number) for number in range(1, len(rows) + 1)]
    contexts = [context for _, context, _ in rows] if passages else None
    return Examples([one for one, *_ in rows], contexts, [row[2] for row in rows], NO_LABELS, places)


def task(*, passages: bool) -> Seq2Seq:
    spec = {
        "task": "Seq2Seq",
        "model": {"uri": "file:///m"},
        "data": {"train": [{"uri": "file:///rows.jsonl"}], "maxTargetLength": 8},
        "output": {"uri": "file:///o"},
    }
    splits = {"train": examples(QUESTIONS, passages=passages), "test": examples(ASKED, passages=passages)}
    report = DataReport(files=[], rows_read=0, bad_rows=0)
    return Seq2Seq(Spec.model_validate(spec), Prepared(splits, NO_LABELS, report, ""))


def text_of(tokens: Tokens, tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(tokens.ids[: tokens.offsets[1]].tolist(), skip_special_tokens=True))


def test_examples_stand_in_front_with_their_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    found = task(passages=False).tokenise_behind("test", [[1, 0]], tokenizer, 64, 500)
    said = " ".join(text_of(found.tokens, tokenizer).split())
    assert said == "Who sat? answer: Max Who ran? answer: Lily Who hid? answer:"
    outputs = found.tokens.outputs
    assert outputs is not None
    assert text_of(outputs, tokenizer).strip() == "Ann"


def test_passages_come_with_their_questions(tokenizer: PreTrainedTokenizerBase) -> None:
    found = task(passages=True).tokenise_behind("test", [[0]], tokenizer, 64, 500)
    said = " ".join(text_of(found.tokens, tokenizer).split())
    assert said == (
        "question: Who ran? context: Lily ran. Tom sat. answer: Lily question: Who hid? context: Ann hid. Joe ate. "
        "answer:"
    )


def test_a_row_shows_as_many_as_fit_and_without_any_is_as_it_was(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    one = task(passages=True)
    whole = one.tokenise_behind("test", [[0, 1]], tokenizer, 8, 500)
    assert whole.counts == [2]
    length = int(whole.tokens.lengths[0])
    fewer = one.tokenise_behind("test", [[0, 1]], tokenizer, 8, length - 1)
    assert fewer.counts == [1]
    usual = one.tokenise("test", tokenizer, 40, tmp_path, lambda _rows: None)
    none = one.tokenise_behind("test", [[]], tokenizer, 40, 500)
    assert none.tokens.ids.tolist() == usual.ids.tolist()


@pytest.mark.slow
def test_a_run_tells_all_three(
    encoder_decoder: Callable[..., Path], writing_job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text("".join(RESTAURANTS.read_text().splitlines(keepends=True)[:120]))
    model = encoder_decoder("t5", RESTAURANTS.read_text().splitlines()[:120])
    training = {"epochs": 3, "learningRate": 0.004, "batchSize": 8}
    evaluation = {"fewShot": {"examples": 2}, "generation": {"maxNewTokens": 12}}
    ended = cli("run", writing_job(model, facts, training=training, evaluation=evaluation))
    assert ended.code == 0, ended.err
    (folder,) = (tmp_path / "out/writes").iterdir()
    report = (folder / "report/index.html").read_text()
    assert "With 2 examples" in report
    assert "the tuned model is best: evalLoss" in ended.err + ended.out
    assert "base model with examples:" in ended.err + ended.out
