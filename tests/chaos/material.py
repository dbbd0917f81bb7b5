"""What the trainer is given to work on: a tiny model with dropout, and rows that it can learn something from."""

from itertools import product
from pathlib import Path

_VERDICTS = {"was a joy": "praise", "broke on the first day": "complaint", "is fine": "neither"}
_STARTS = ("The", "Our", "Your")
_THINGS = ("printer", "window", "invoice", "train", "dinner")
_ENDS = ("at home", "in the office")


def write_rows(file: Path) -> None:
    """90 sentences of three kinds, as CSV with the columns `text` and `label`."""
    rows = [
        f"{start} {thing} {verdict} {end}.,{label}"
        for start, thing, end in product(_STARTS, _THINGS, _ENDS)
        for verdict, label in _VERDICTS.items()
    ]
    file.write_text("\n".join(["text,label", *rows]) + "\n")


def write_model(
    folder: Path, *, width: int = 32, wide: int = 64, layers: int = 2, heads: int = 2, vocabulary: int = 0
) -> None:
    """A random BERT and its tokenizer. It has dropout, so that the random state counts.

    `wide` is the width of the feed-forward layers. A larger `vocabulary` than the sentences need makes the model
    larger, not slower.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word.lower() for text in (*_STARTS, *_THINGS, *_ENDS, *_VERDICTS) for word in text.split()})
    tokens = {token: number for number, token in enumerate([*special, ".", *words])}
    raw = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{token.strip('[]').lower()}_token": token for token in special}
    PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=max(vocabulary, len(tokens)),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=wide,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
