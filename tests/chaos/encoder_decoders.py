"""Small encoder-decoders with random weights, whose tokenizers know given texts."""

from pathlib import Path
from typing import Any

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


def write_encoder_decoder(folder: Path, kind: str, texts: list[str], vocabulary: int = 400, **settings: Any) -> Path:
    """A random model of a kind (`t5` or `bart`) in `folder`, which is returned; `settings` go into its config."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    tokenizer = _byte_pairs(texts, vocabulary)
    tokens = {"pad_token_id": 0, "eos_token_id": 1}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **tokens, **{**_SETTINGS[kind], **settings})
    torch.manual_seed(7)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _byte_pairs(texts: list[str], vocabulary: int) -> Any:
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
