"""By hand: tags of words, the first token of each word labelled, padded by batch, the best epoch kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from quality.by_hand.best_epoch import EVALUATION_ROWS, NOT_COUNTED, adapted, train
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer, set_seed

from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.evaluation.tagged import TaggedRows


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns F1 of the entities and the loss of a word on the test rows."""
    set_seed(spec.training.seed)
    tokenizer, limit = AutoTokenizer.from_pretrained(folder), resolve(spec).max_length
    if spec.method.type == "FeatureExtraction":
        return _logistic_regression(data, folder, tokenizer, limit)
    model = adapted(
        AutoModelForTokenClassification.from_pretrained(folder, num_labels=len(data.labels.names), dtype=torch.float32),
        spec,
        "TOKEN_CLS",
        ["classifier"],
    )
    names, rows = data.labels.names, data.splits["train"]

    def loss(batch: Tensor) -> Tensor:
        encoded, labels = _batch(rows, batch.tolist(), tokenizer, names, limit)
        logits = model(**encoded).logits
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NOT_COUNTED)

    def measured(split: str) -> dict[str, float]:
        return _measured(model, data.splits[split], tokenizer, names, limit)

    train(model, len(rows), spec, loss, lambda: measured("validation")["evalLoss"])
    return measured("test")


def _batch(
    rows: Examples, chosen: Sequence[int], tokenizer: Any, names: Sequence[str], limit: int
) -> tuple[Any, Tensor]:
    """Inputs, and the number of the tag at the first token of each word [rows, tokens]."""
    words = [list(rows.words[row]) for row in chosen]
    encoded = tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=limit, padding=True, return_tensors="pt"
    )
    labels = torch.full(encoded["input_ids"].shape, NOT_COUNTED)
    for at, row in enumerate(chosen):
        tags = rows.labels[row]
        before = None
        for position, word in enumerate(encoded.word_ids(at)):
            if word is not None and word != before:
                labels[at, position] = names.index(tags[word])  # type: ignore[index]  # a tuple of tags
            before = word
    return encoded, labels


@torch.no_grad()
def _measured(model: Any, rows: Examples, tokenizer: Any, names: Sequence[str], limit: int) -> dict[str, float]:
    model.eval()
    total, counted, predicted = 0.0, 0, list[list[str]]()
    for chosen in _parts(rows):
        encoded, labels = _batch(rows, chosen, tokenizer, names, limit)
        logits, is_counted = model(**encoded).logits, labels != NOT_COUNTED
        total += functional.cross_entropy(logits[is_counted], labels[is_counted], reduction="sum").item()
        counted += int(is_counted.sum())
        best = logits.argmax(-1)
        predicted += [[names[number] for number in best[at][is_counted[at]].tolist()] for at in range(len(chosen))]
    return {"f1": _f1(rows, predicted), "evalLoss": total / counted}


def _parts(rows: Examples) -> list[range]:
    """Rows of the batches of a pass without gradients."""
    return [range(start, min(len(rows), start + EVALUATION_ROWS)) for start in range(0, len(rows), EVALUATION_ROWS)]


def _f1(rows: Examples, predicted: list[list[str]]) -> float:
    """F1 of the entities; words that were cut off have the tag `O`."""
    whole = [tuple(tags + ["O"] * (len(rows.words[row]) - len(tags))) for row, tags in enumerate(predicted)]
    return TaggedRows(rows, whole).metrics([])["f1"]


def _logistic_regression(data: Prepared, folder: Path, tokenizer: Any, limit: int) -> dict[str, float]:
    """Tags by logistic regression on the frozen encoder's vectors of first tokens."""
    model, names = AutoModel.from_pretrained(folder, dtype=torch.float32).eval(), data.labels.names
    (train_x, train_y, _), (test_x, test_y, counts) = (
        _vectors(model, data.splits[split], tokenizer, names, limit) for split in ("train", "test")
    )
    classifier = LogisticRegression(max_iter=2000).fit(train_x, train_y)
    logs = classifier.predict_log_proba(test_x)
    column = {int(number): at for at, number in enumerate(classifier.classes_)}
    loss = -np.mean([logs[at, column[number]] if number in column else -np.inf for at, number in enumerate(test_y)])
    found = np.split(classifier.predict(test_x), np.cumsum(counts)[:-1])
    return {"f1": _f1(data.splits["test"], [[names[n] for n in part] for part in found]), "evalLoss": float(loss)}


@torch.no_grad()
def _vectors(
    model: Any, rows: Examples, tokenizer: Any, names: Sequence[str], limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[int]]:
    """Vectors [words, hidden] and tags [words] of first tokens, and the number of words of each row."""
    vectors, tags, counts = list[NDArray[np.float32]](), list[NDArray[np.int64]](), list[int]()
    for chosen in _parts(rows):
        encoded, labels = _batch(rows, chosen, tokenizer, names, limit)
        is_counted = labels != NOT_COUNTED
        vectors.append(model(**encoded).last_hidden_state[is_counted].numpy())
        tags.append(labels[is_counted].numpy())
        counts += is_counted.sum(dim=1).tolist()
    return np.concatenate(vectors), np.concatenate(tags), counts
