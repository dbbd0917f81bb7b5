"""A causal language model of random weights in BF16 with a tokenizer of words, and rows of drawn words."""

import json
import random
from pathlib import Path
from typing import Any

from gpu.sizes import SPECIAL, Size

SEED, FREQUENT, HELD_OUT = 7, 60, 16
"""Seed, words that answers are made of, and held-out rows."""


def write_model(folder: Path, family: str, config: dict[str, Any], longest: int = 2048) -> Path:
    """Save a model of random weights, made on the GPU where there is one; returns its folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    write_tokenizer(folder, int(config["vocab_size"]))
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    known = {"max_position_embeddings": longest, "tie_word_embeddings": True}
    known["head_dim"] = config["hidden_size"] // config["num_attention_heads"]
    torch.manual_seed(SEED)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(family, **{**known, **config, **ids}), dtype=torch.bfloat16
        )
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()  # this process stays, and others measure
    return folder


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Save a tokenizer whose tokens are the words w0, w1, ..."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *(f"w{number}" for number in range(vocabulary - len(SPECIAL)))]
    raw = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=SPECIAL[3]))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    roles = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=raw, **roles).save_pretrained(folder)


def write_rows(folder: Path, size: Size) -> None:
    """Write `rows.jsonl` and `held-out.jsonl`: prompts of all words, answers of few, of uneven lengths."""
    draw = random.Random(SEED)  # noqa: S311 -- not for secrets
    for name, count in (("rows", size.rows), ("held-out", HELD_OUT)):
        lines = [json.dumps(_row(draw, size)) for _ in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _row(draw: random.Random, size: Size) -> dict[str, str]:
    most = size.longest // 2 - 8
    return {"prompt": _words(draw, size.vocabulary - len(SPECIAL), most), "completion": _words(draw, FREQUENT, most)}


def _words(draw: random.Random, words: int, most: int) -> str:
    """Words drawn from the first `words`: half as many as there may be in the middle, few texts near the limit."""
    count = min(most, max(3, round(draw.lognormvariate(0, 0.6) * most / 2)))
    return " ".join(f"w{draw.randrange(min(words, 30_000))}" for _ in range(count))


def read_rows(file: Path) -> list[dict[str, str]]:
    """Rows of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]
