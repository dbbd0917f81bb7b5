"""Fixtures of text to text: small encoder-decoders with random weights, whose tokenizers know the texts of a test."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"} | {
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
_BART = {f"{side}_{name}": value for side in ("encoder", "decoder")
         for name, value in {"layers": 2, "attention_heads": 4, "ffn_dim": 128}.items()}  # fmt: skip
_SETTINGS: dict[str, dict[str, Any]] = {
    "t5": _T5,
    "bart": {**_BART, "d_model": 64, "max_position_embeddings": 128, "dropout": 0.0, "attention_dropout": 0.0}
    | {"decoder_start_token_id": 1, "bos_token_id": 1, "forced_eos_token_id": None, "init_std": 0.1},
}
_SPECIAL = ["<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="session")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from a model type and texts to the folder of a random model whose tokenizer knows them.

    Further settings go into its config. The folder is shared: copy it before changing anything.
    """
    made: dict[str, Path] = {}

    def make(kind: str, texts: Iterable[str], vocabulary: int = 400, **settings: Any) -> Path:
        texts = list(texts)
        key = repr((kind, hash(tuple(texts)), vocabulary, settings))
        if key not in made:
            made[key] = _save(tmp_path_factory.mktemp(kind), kind, texts, vocabulary, settings)
        return made[key]

    return make


def _save(folder: Path, kind: str, texts: list[str], vocabulary: int, settings: dict[str, Any]) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    tokenizer = _tokenizer(texts, vocabulary)
    tokens = {"pad_token_id": 0, "eos_token_id": 1}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **tokens, **_SETTINGS[kind], **settings)
    torch.manual_seed(7)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(texts: list[str], vocabulary: int) -> Any:
    """Byte-level BPE that ends each text, as T5's tokenizer does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    )
    raw.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.fixture
def writing_job(tmp_path: Path) -> Callable[..., str]:
    """A function that writes a job file of text to text: blocks are merged over a small one."""

    def write(model: Path, train: Path, name: str = "writes", **blocks: Any) -> str:
        spec: dict[str, Any] = {
            "task": "Seq2Seq",
            "model": {"uri": model.as_uri()},
            "data": {"train": [{"uri": train.as_uri()}], "maxLength": 96, "maxTargetLength": 32},
            "method": {"type": "Full"},
            "training": {"epochs": 1, "learningRate": 0.003, "batchSize": 16},
            "evaluation": {"generation": {"maxNewTokens": 24}},
            "output": {"uri": "file://./out"},
        }
        for block, fields in blocks.items():
            spec[block] = {**spec.get(block, {}), **fields}
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**manifest, "spec": spec}))
        return str(path)

    return write
