"""What both sides train on: a random Llama with a tokenizer of words, rows and pairs of drawn words."""

import json
import random
from pathlib import Path

WORDS, FREQUENT = 16_000, 60
SEED = 7


def write_model(folder: Path) -> None:
    """Write a Llama of 16.8 million random weights and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    unknown = special["unk_token"]
    words = [*special.values(), *(f"w{number}" for number in range(WORDS - len(special)))]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6,
        num_key_value_heads=6, max_position_embeddings=1024, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def write_rows(folder: Path, *, rows: int, pairs: int) -> None:
    """Write `sft.jsonl` and `dpo.jsonl` with rows to train on, and `test-sft.jsonl`, `test-dpo.jsonl`."""
    draw = random.Random(SEED)  # noqa: S311 -- not for secrets
    for name, count in (("sft", rows), ("test-sft", 32), ("dpo", pairs), ("test-dpo", 16)):
        lines = [json.dumps(_pair(draw) if name.endswith("dpo") else _row(draw)) for _ in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _row(draw: random.Random) -> dict[str, str]:
    return {"prompt": _text(draw, WORDS - 4, 4.4), "completion": _text(draw, FREQUENT, 3.3)}


def _pair(draw: random.Random) -> dict[str, str]:
    answers = {"chosen": _text(draw, FREQUENT, 3.3), "rejected": _text(draw, WORDS - 4, 3.3)}
    return {"prompt": _text(draw, WORDS - 4, 4.4), **answers}


def _text(draw: random.Random, words: int, log_length: float) -> str:
    """Words drawn from the first `words`, as many as a text of people has: few long ones, many short."""
    length = min(400, max(3, round(draw.lognormvariate(log_length, 0.7))))
    return " ".join(f"w{draw.randrange(words)}" for _ in range(length))
