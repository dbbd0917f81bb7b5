"""What does it save to project tokens with a label alone onto the vocabulary, a chunk at a time? Both ways, in one run.

    make bench-vocabulary ARGS="--rounds 5 --threads 1"

Models of common shapes with random weights. In each round each way has a process of its own, and so its own peak of
memory; what is timed is a forward and a backward pass over one batch, after another one to warm up.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import isclose
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.training.speedups.labelled_logits import labelled_logits

ROWS, LENGTH = 8, 128
_KIBIBYTES = 1024
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Case:
    """A model, and the share of its tokens that has a label."""

    words: str
    kind: str
    settings: dict[str, Any]
    labelled: float
    shift: bool
    """Whether the logits of a position are of the next token."""


_BERT = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
_GPT2 = {"n_embd": 512, "n_layer": 6, "n_head": 8}
_GEMMA = {
    "vocab_size": 262_144,
    "hidden_size": 640,
    "intermediate_size": 2_048,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
}
CASES = (
    Case("BERT, 6 layers of 384, vocabulary of 30,522; 15 % are masked", "bert", _BERT, 0.15, shift=False),
    Case("GPT-2, 6 layers of 512, vocabulary of 50,257; 25 % are answers", "gpt2", _GPT2, 0.25, shift=True),
    Case("the same; raw text: all are learned", "gpt2", _GPT2, 1.0, shift=True),
    Case("Gemma 3, 2 layers of 640, vocabulary of 262,144; raw text", "gemma3_text", _GEMMA, 1.0, shift=True),
)

Loss = Callable[[Any, dict[str, Tensor], bool], Tensor]


def whole(model: Any, batch: dict[str, Tensor], shift: bool) -> Tensor:
    """The mean loss from the logits of all tokens."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits, labels = model(**inputs).logits, batch["labels"]
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX)


def labelled(model: Any, batch: dict[str, Tensor], shift: bool) -> Tensor:
    """The same from the logits of tokens with a label alone, in chunks where they are many."""
    return labelled_logits(model, batch, shift=shift).losses().mean()


@dataclass(frozen=True)
class Cost:
    """What a pass costs."""

    seconds: float
    """Of the processor."""
    mebibytes: float
    """The most memory beyond libraries and model."""
    loss: float
    """What came out of it, which is the same both ways."""


def main() -> None:
    """Run all cases both ways, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="passes each way")
    parser.add_argument("--threads", type=int, default=1, help="cores that a pass uses")
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(CASES)), help="which ones, from 0")
    chosen = parser.parse_args()
    print("| Model and labels | Faster by (lowest - highest) | MiB, all / labelled, in chunks |\n| --- | --- | --- |")
    for case in (CASES[number] for number in chosen.cases):
        rounds = [
            (_apart(case, whole, chosen.threads), _apart(case, labelled, chosen.threads)) for _ in range(chosen.rounds)
        ]
        print(_line(case, rounds), flush=True)


def _apart(case: Case, way: Loss, threads: int) -> Cost:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_cost, case, way, threads).result()


def _cost(case: Case, way: Loss, threads: int) -> Cost:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    auto_class = AutoModelForCausalLM if case.shift else AutoModelForMaskedLM
    model = auto_class.from_config(AutoConfig.for_model(case.kind, **case.settings))
    batch = _batch(model.config.vocab_size, case.labelled)
    before = _peak()
    way(model, batch, case.shift).backward()  # type: ignore[no-untyped-call]  # torch's own
    start = time.process_time()
    loss = way(model, batch, case.shift)
    loss.backward()  # type: ignore[no-untyped-call]  # as above
    return Cost(time.process_time() - start, _peak() - before, loss.item())


def _batch(vocabulary: int, share: float) -> dict[str, Tensor]:
    ids = torch.randint(5, vocabulary, (ROWS, LENGTH))
    labels = torch.where(torch.arange(LENGTH) >= LENGTH * (1 - share), ids, IGNORE_INDEX)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES


def _line(case: Case, rounds: list[tuple[Cost, Cost]]) -> str:
    if not all(isclose(one.loss, other.loss, rel_tol=_ROUNDING) for one, other in rounds):
        raise ValueError(rounds)
    ratios = [all_of_it.seconds / part.seconds for all_of_it, part in rounds]
    memory = " / ".join(f"{median(cost.mebibytes for cost in costs):.0f}" for costs in zip(*rounds, strict=True))
    return f"| {case.words} | {median(ratios):.2f}x ({min(ratios):.2f} - {max(ratios):.2f}) | {memory} |"


if __name__ == "__main__":
    main()
