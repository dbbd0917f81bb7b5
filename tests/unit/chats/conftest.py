"""Fixtures for chats: tokenizers of several kinds, and rows as training rows."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from finetune_api.data import Data
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.storage import Site

CORPUS = [
    "weather in Paris? It is 5 degrees, and the wind is cold.",
    '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "You are a helpful assistant. user system tool <s>strike</s> [SEP] [CLS] assistant!",
] * 5
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]"]


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., PreTrainedTokenizerBase]:
    """A function from a kind (`bpe`, `unigram`, `wordpiece`) and a chat template to a tokenizer trained on the spot."""
    made: dict[str, str] = {}

    def make(kind: str = "bpe", template: str | None = None) -> PreTrainedTokenizerBase:
        if kind not in made:
            made[kind] = _trained(kind).to_str()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(made[kind]),
            unk_token="<unk>",
            bos_token="<s>",
            eos_token="</s>",
            pad_token="</s>",
            additional_special_tokens=SPECIAL[3:],
        )
        tokenizer.chat_template = template
        return tokenizer

    return make


def _trained(kind: str) -> Tokenizer:
    settings: dict[str, Any] = {"special_tokens": SPECIAL, "show_progress": False}
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, **settings)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
        trainer = trainers.UnigramTrainer(
            vocab_size=250, unk_token="<unk>", initial_alphabet=list(string.printable), **settings
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=300, **settings)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


@pytest.fixture
def read(lines: Callable[[str, list[dict[str, Any]]], str]) -> Callable[..., Prepared]:
    """A function that reads rows as the training rows of a task."""

    def call(rows: list[dict[str, Any]], task: Task = Task.CAUSAL_LM, **data: Any) -> Prepared:
        spec = {
            "train": [{"uri": lines("rows.jsonl", rows)}],
            "split": {"validation": 0, "test": 0},
            "clean": {"dropDuplicates": False},
            "maxBadRowRatio": 0.0,
            **data,
        }
        return prepare(Data.model_validate(spec), site=Site(Path("/")), task=task)

    return call
