"""By hand: a frozen BERT under a head of one hidden layer, every text padded to the limit, the base run in each epoch.

What tutorials get wrong is right here: the encoder's dropout is off, log-softmax goes to the negative log-likelihood,
no step is made while validating, and the test rows choose nothing.
"""

from pathlib import Path
from typing import Any

import torch
from plain_trainer import figures
from recipes.epochs import train_and_keep_best
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModel, AutoTokenizer, set_seed

from finetune_api.spec import Spec
from finetune_trainer.data import Prepared

Batches = DataLoader[Any]


class FrozenEncoder(nn.Module):
    """Log-probabilities of the labels from the encoder's pooled output."""

    def __init__(self, encoder: Any, labels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(requires_grad=False)
        self.hidden = nn.Linear(encoder.config.hidden_size, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, labels)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`ids` and `mask` [rows, length] -> [rows, labels]."""
        self.encoder.eval()
        pooled = self.encoder(ids, attention_mask=mask).pooler_output
        return functional.log_softmax(self.out(self.dropout(torch.relu(self.hidden(pooled)))), dim=-1)


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train on the encoder in `folder`; returns the figures on the test rows."""
    set_seed(spec.training.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    settings = spec.method.feature_extraction
    assert settings is not None  # noqa: S101 -- the recipe has it
    encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
    model = FrozenEncoder(encoder, len(data.labels.names), settings.head_hidden_size, settings.dropout)
    batches = {split: _batches(data, split, tokenizer, spec) for split in ("train", "validation", "test")}
    _train(model, batches, spec)
    return figures(_log_probabilities(model, batches["test"]), data.splits["test"])


def _batches(data: Prepared, split: str, tokenizer: Any, spec: Spec) -> Batches:
    examples = data.splits[split]
    limit = spec.data.max_length
    encoded = tokenizer(examples.texts, padding="max_length", truncation=True, max_length=limit, return_tensors="pt")
    rows = TensorDataset(encoded["input_ids"], encoded["attention_mask"], torch.from_numpy(examples.targets))
    return DataLoader(rows, batch_size=spec.training.batch_size, shuffle=split == "train")


def _train(model: FrozenEncoder, batches: dict[str, Batches], spec: Spec) -> None:
    def loss(batch: list[Tensor]) -> Tensor:
        ids, mask, labels = batch
        return functional.nll_loss(model(ids, mask), labels)

    def held_out() -> float:
        expected = torch.cat([labels for *_inputs, labels in batches["validation"]])
        return functional.nll_loss(_log_probabilities(model, batches["validation"]), expected).item()

    train_and_keep_best(model, batches["train"], loss, held_out, spec.training)


@torch.no_grad()
def _log_probabilities(model: FrozenEncoder, batches: Batches) -> Tensor:
    model.eval()
    return torch.cat([model(ids, mask) for ids, mask, _labels in batches])
