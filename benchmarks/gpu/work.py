"""Arithmetic of a training step by the model's weights, and the share of a device's peak that it is (MFU).

A weight of a matrix takes 4 FLOP for each token in the forward pass and back through the activations, and 2 more where
it is trained itself. The output layer is counted for tokens with a label alone: no other logit is needed. Embeddings,
attention scores, norms, padding and recomputed activations are not counted, so that the true share is a little higher:

    MFU = tokens per second x sum of (4 + 2 if trained) x weights x share of tokens / peak FLOP per second
"""

from pathlib import Path

from gpu.inputs import read_rows
from gpu.sizes import Size
from gpu.ways import RANK, Way

_PEAKS = (
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("A10", 125e12),
)
"""Dense BF16 FLOP per second by NVIDIA's data sheets, by a part of the device's name; the first that fits counts."""


def published_peak(name: str) -> float:
    """Peak of a device by its name; 0 where it is not known."""
    return next((peak for part, peak in _PEAKS if part in name), 0.0)


def flop_per_token(way: Way, size: Size, labelled: float) -> float:
    """Needed work of training for each token; `labelled` is the share of tokens that have a label."""
    shapes = _matrices(size)
    layers = int(size.config["num_hidden_layers"])
    body = layers * sum(rows * columns for rows, columns in shapes)
    head = size.vocabulary * int(size.config["hidden_size"])
    if way.method == "Full":
        return 6 * body + 6 * head * labelled
    adapter = layers * sum(RANK * (rows + columns) for rows, columns in shapes)
    return 4 * body + 4 * head * labelled + 6 * adapter


def _matrices(size: Size) -> list[tuple[int, int]]:
    """Shapes of a layer's matrices: queries, keys, values, their output, and three of the MLP."""
    hidden, inner = size.config["hidden_size"], size.config["intermediate_size"]
    of_pairs = hidden // size.config["num_attention_heads"] * size.config["num_key_value_heads"]
    return [(hidden, hidden), (hidden, of_pairs), (hidden, of_pairs), (hidden, hidden), *[(hidden, inner)] * 3]


def labelled_share(file: Path) -> float:
    """Share of the tokens of a file's rows that are of answers, their ends included."""
    rows = read_rows(file)
    answers = sum(len(row["completion"].split()) + 1 for row in rows)
    return answers / (answers + sum(len(row["prompt"].split()) for row in rows))
