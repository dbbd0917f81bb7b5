"""Writes the table of `docs/how-to/size-a-job.md`: memory of well-known models by method, by the trainer's estimate.

Usage: size_table.py [--check]. The models are sizes only, in `docs/model_sizes`; nothing is downloaded.
"""

import argparse
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent / "how-to" / "size-a-job.md"
MODELS = Path(__file__).parent / "model_sizes"
START, END = "<!-- sizes: made by docs/size_table.py -->\n", "<!-- end of sizes -->\n"
TOKENS = 2_048
NAMES = {
    "gemma-3-270m": "Gemma 3 270M",
    "qwen2.5-0.5b": "Qwen 2.5 0.5B",
    "qwen2.5-7b": "Qwen 2.5 7B",
    "llama-3-8b": "Llama 3 8B",
    "llama-3-70b": "Llama 3 70B",
}
COLUMNS = (
    ("`Full`", "Full", "AdamW", False),
    ("`Full`, `AdamW8bit`, recomputed", "Full", "AdamW8bit", True),
    ("`LoRA`", "LoRA", "AdamW", False),
    ("`LoRA`, recomputed", "LoRA", "AdamW", True),
    ("`QLoRA`, recomputed", "QLoRA", "AdamW", True),
)
"""Heading, method, optimizer, and whether activations are computed again in the backward pass."""


def main() -> None:
    """Write the table into the page, or check that it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the page is not up to date")
    given = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(START)
    new = f"{head}{START}{table()}{END}{rest.partition(END)[2]}"
    if given.check and new != text:
        sys.exit(f"{PAGE.name} is not up to date: run make sizes")
    if not given.check:
        PAGE.write_text(new, encoding="utf-8")


def table() -> str:
    """The table in Markdown."""
    heads = [heading for heading, *_ in COLUMNS]
    lines = [f"| Model | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    lines += [f"| {name} | {' | '.join(row(model))} |" for model, name in NAMES.items()]
    return "\n".join(lines) + "\n"


def row(model: str) -> list[str]:
    """The cells of a model."""
    return [words(peak(model, method, optimizer, again=again)) for _, method, optimizer, again in COLUMNS]


def words(count: int) -> str:
    """Bytes in GiB."""
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib < 10 else f"{gib:,.0f} GiB"


def peak(model: str, method: str, optimizer: str, *, again: bool) -> int:
    """Bytes at the peak of training in BF16 on a row of `TOKENS` tokens, all labelled."""
    import numpy as np
    import torch

    from finetune_api.inference import Quantization
    from finetune_api.method import Method
    from finetune_api.tasks import MethodType, Task
    from finetune_api.training import Optimizer
    from finetune_trainer.data.tokenising.collate import TokenRows
    from finetune_trainer.data.tokenising.tokens import Tokens
    from finetune_trainer.estimation.passes import ValuelessModel, training_peak
    from finetune_trainer.estimation.valueless import without_values
    from finetune_trainer.methods import METHODS
    from finetune_trainer.models.assembly import load_whole
    from finetune_trainer.models.files import ModelFiles
    from finetune_trainer.models.model_loading import ModelLoading
    from finetune_trainer.training.losses.base import TokenLoss
    from finetune_trainer.training.optimizers import embedding_weights, state_bytes

    kind = Method(type=MethodType(method))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "config.json").write_text((MODELS / f"{model}.json").read_text())
        files = ModelFiles(model, folder, "", model)
        how = ModelLoading(
            own_dtype=method != "Full",
            quantization=Quantization.of(kind),
            compute_dtype=torch.bfloat16,
            on_meta=True,
        )
        base = load_whole(files, Task.CAUSAL_LM, how)
        if again:
            base.activation_checkpointing_enable()
        adapted = METHODS[kind.type](base, files, kind, folder)
    without_values(adapted.model)
    ids = np.arange(TOKENS, dtype=np.int32)
    tokens = Tokens(ids, np.asarray([0, TOKENS]), np.full(1, TOKENS, np.int32), labels=ids)
    trained = ValuelessModel(
        model=adapted.model,
        vocabulary=base.config.vocab_size,
        is_adapter=method != "Full",
        kind="cuda",
        autocast=torch.bfloat16,
    )
    embeddings = embedding_weights(adapted.model)
    states = [
        state_bytes(Optimizer(optimizer), tuple(one.shape), is_embedding=id(one) in embeddings)
        for one in trained.trained
    ]
    loss = TokenLoss(tokens.counted, shift=True)
    parts = training_peak(trained, loss, TokenRows(tokens, 0), np.asarray([0]), accumulates=True)
    return sum(parts.values()) + sum(states)


if __name__ == "__main__":
    main()
