"""By hand: a classifier, as a careful engineer writes it without this project.

Mean pooling over tokens for the frozen encoder, best epoch by validation loss, dynamic padding, warm-up, weight
decay: no known mistake, no search over settings either. The budget (epochs, rows, batch size) is that of the job.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from quality.by_hand.best_epoch import EVALUATION_ROWS, adapted, train
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, set_seed

from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns accuracy and loss on the test rows."""
    set_seed(spec.training.seed)
    tokenizer, limit = AutoTokenizer.from_pretrained(folder), resolve(spec).max_length
    if spec.method.type == "FeatureExtraction":
        return _logistic_regression(data, folder, tokenizer, limit)
    model = adapted(
        AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(data.labels.names), dtype=torch.float32
        ),
        spec,
        "SEQ_CLS",
        ["pooler", "classifier"],
    )
    rows = data.splits["train"]

    def loss(batch: Tensor) -> Tensor:
        logits = _logits(model, tokenizer, rows, batch.numpy(), limit)
        return functional.cross_entropy(logits, torch.from_numpy(np.asarray(rows.targets)[batch.numpy()]))

    def measured(split: str) -> dict[str, float]:
        return _figures(_all_logits(model, tokenizer, data.splits[split], limit), data.splits[split])

    train(model, len(rows), spec, loss, lambda: measured("validation")["evalLoss"])
    return measured("test")


def _figures(logits: Tensor, examples: Examples) -> dict[str, float]:
    expected = torch.from_numpy(np.asarray(examples.targets))
    right = (logits.argmax(-1) == expected).float().mean().item()
    return {"accuracy": right, "evalLoss": functional.cross_entropy(logits, expected).item()}


def _logits(model: Any, tokenizer: Any, examples: Examples, rows: NDArray[np.int64], limit: int) -> Tensor:
    texts = [examples.texts[row] for row in rows]
    batch = tokenizer(texts, truncation=True, max_length=limit, padding=True, return_tensors="pt")
    return model(**batch).logits  # type: ignore[no-any-return]  # transformers is untyped


@torch.no_grad()
def _all_logits(model: Any, tokenizer: Any, examples: Examples, limit: int) -> Tensor:
    model.eval()
    parts = np.array_split(np.arange(len(examples)), max(1, len(examples) // EVALUATION_ROWS))
    return torch.cat([_logits(model, tokenizer, examples, part, limit) for part in parts])


def _logistic_regression(data: Prepared, path: Path, tokenizer: Any, limit: int) -> dict[str, float]:
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    features = {split: _mean_vectors(model, tokenizer, data.splits[split], limit) for split in ("train", "test")}
    classifier = LogisticRegression(max_iter=2000).fit(features["train"], data.splits["train"].targets)
    return _figures(torch.from_numpy(classifier.predict_log_proba(features["test"])), data.splits["test"])


@torch.no_grad()
def _mean_vectors(model: Any, tokenizer: Any, examples: Examples, limit: int) -> NDArray[np.float32]:
    order = np.argsort([len(text) for text in examples.texts])
    vectors = np.empty((len(order), model.config.hidden_size), np.float32)
    for rows in np.array_split(order, max(1, len(order) // EVALUATION_ROWS)):
        texts = [examples.texts[row] for row in rows]
        batch = tokenizer(texts, truncation=True, max_length=limit, padding=True, return_tensors="pt")
        mask = batch["attention_mask"][..., None]
        vectors[rows] = ((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)).numpy()
    return vectors
