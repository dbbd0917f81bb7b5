"""What share of this machine's arithmetic does training use? Useful work against the best matrix product it can do."""

import json
import time
from pathlib import Path

import torch

PASSES = {"Full": 3, "LoRA": 2}
"""Forward passes that one training step is worth: back through the activations, and with Full to all weights too."""
_SIZE, _ROUNDS = 1024, 20


def share_of_peak(model: Path, method: str, tokens_per_second: float) -> float:
    """Useful FLOP/s of training over the machine's peak FLOP/s in FP32, between 0 and 1.

    Useful work counts the matrices of the encoder's layers at real tokens: padding, attention scores, adapters and
    optimiser are left out, so the true share is a little higher.
    """
    config = json.loads((model / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    weights = config["num_hidden_layers"] * (4 * hidden**2 + 2 * hidden * inner)
    return tokens_per_second * 2 * weights * PASSES[method] / peak_flops()


def peak_flops() -> float:
    """The best rate of a product of two matrices of 1,024 x 1,024, in FLOP/s."""
    left, right = torch.randn(_SIZE, _SIZE), torch.randn(_SIZE, _SIZE)
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return float(2 * _SIZE**3 / min(seconds))
