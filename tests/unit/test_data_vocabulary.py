"""What a tokenizer doesn't know of the rows is counted and said before training; ordinary rows get no warning."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api.data_report import DataReport, SplitReport
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.tokenising.seq2seq_tokens import Limits, tokenise_both
from finetune_trainer.data.tokenising.tokens import Tokens, tokenise
from finetune_trainer.data.tokenising.vocabulary import describe_vocabulary

STORIES = Path(__file__).parents[1] / "models" / "stories260k"
PLACES: list[Any] = []


def pieces(words: list[str], letters: str, filler: int = 0) -> Any:
    """A WordPiece tokenizer of these words and letters, with so many further tokens; it ends texts with `[SEP]`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = ["[PAD]", "[UNK]", "[SEP]", *words, *letters, *(f"##{letter}" for letter in letters)]
    known += [f"filler{number}" for number in range(filler)]
    raw = Tokenizer(models.WordPiece({token: at for at, token in enumerate(dict.fromkeys(known))}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", pad_token="[PAD]", eos_token="[SEP]")


def examples(texts: list[str], targets: list[Label]) -> Examples:
    """Rows of one split."""
    return Examples(texts, None, targets, NO_LABELS, PLACES)


def described(rows: Examples, tokens: Tokens, tokenizer: Any) -> DataReport:
    """The report on these training rows."""
    report = DataReport(files=[], rows_read=len(rows), bad_rows=0, splits={"train": SplitReport(rows=len(rows))})
    return describe_vocabulary(report, rows, {"train": tokens}, tokenizer)


def test_braces_that_a_tokenizer_lacks_can_never_be_written() -> None:
    tokenizer = pieces(["name", "is", "Ada", ":", '"'], "abc")
    rows = examples(["name is Ada"] * 6, ['{ "name" : "Ada" }'] * 5 + ["Ada"])
    found = described(rows, tokenise_both(rows, tokenizer, Limits(64, 64)), tokenizer)
    split = found.splits["train"]
    assert (split.unknown_tokens, split.unknown_target_tokens) == (0, 10)
    (warning,) = found.warnings
    assert "'{'" in warning
    assert "'}'" in warning
    assert "10 unknown tokens" in warning
    plain = examples(["name is Ada"] * 6, ["Ada"] * 6)
    assert described(plain, tokenise_both(plain, tokenizer, Limits(64, 64)), tokenizer).warnings == []


@pytest.mark.parametrize(("text", "share"), [("名前 は エイダ です", 1.0), ("name is エ Ada", 0.25)])
def test_words_of_another_script_are_unknown(text: str, share: float) -> None:
    tokenizer = pieces(["name", "is", "Ada"], "abc")
    rows = examples([text] * 8, ["x"] * 8)
    found = described(rows, tokenise(rows.texts, None, tokenizer, 64), tokenizer)
    assert found.vocabulary is not None
    assert found.vocabulary.unknown == pytest.approx(share)
    assert found.splits["train"].unknown_tokens >= 8
    (warning,) = found.warnings
    assert f"{share:.0%} of the words" in warning
    assert "'エ'" in warning


def test_words_that_are_spelled_letter_by_letter() -> None:
    tokenizer = pieces(["the", "printer"], "абвгдежзийклмнопрстуфхцчшщъыьэюя", filler=2_000)
    russian = examples(["принтер снова сломался сегодня", "спасибо за хороший сервис"] * 4, ["x"] * 8)
    found = described(russian, tokenise(russian.texts, None, tokenizer, 64), tokenizer)
    assert found.vocabulary is not None
    assert (found.vocabulary.unknown, found.vocabulary.spelled) == (0, pytest.approx(7 / 8))
    assert ["letter by letter" in warning for warning in found.warnings] == [True]
    assert "принтер" in found.warnings[0]


def test_a_small_vocabulary_spells_by_design_and_bytes_know_everything() -> None:
    from transformers import AutoTokenizer

    letters = pieces([], "acgt")
    genes = examples(["acgtacgt ggca"] * 8, ["x"] * 8)
    assert described(genes, tokenise(genes.texts, None, letters, 64), letters).warnings == []
    stories = AutoTokenizer.from_pretrained(STORIES)
    told = examples(["Once upon a time, there was a little girl named Lily. 🙂"] * 8, ["x"] * 8)
    found = described(told, tokenise(told.texts, None, stories, 64), stories)
    assert found.warnings == []
    assert found.splits["train"].unknown_tokens == 0


def test_chinese_with_a_token_a_sign_is_fine() -> None:
    tokenizer = pieces([], "打印机坏了我们很高兴", filler=2_000)
    rows = examples(["打印机坏了", "我们很高兴"] * 4, ["x"] * 8)
    found = described(rows, tokenise(rows.texts, None, tokenizer, 64), tokenizer)
    assert found.warnings == []
    assert found.vocabulary is not None
    assert (found.vocabulary.words, found.vocabulary.unknown, found.vocabulary.spelled) == (40, 0, 0)


def test_an_end_of_text_that_also_stands_for_the_unknown_is_no_unknown_token() -> None:
    tokenizer = pieces(["name"], "abc")
    tokenizer.unk_token = tokenizer.eos_token
    rows = examples(["name"] * 8, ["name"] * 8)
    found = described(rows, tokenise_both(rows, tokenizer, Limits(64, 64)), tokenizer)
    assert (found.splits["train"].unknown_tokens, found.splits["train"].unknown_target_tokens) == (0, 0)
    assert np.all([not warning for warning in found.warnings])
