"""The reference of the quality benchmark: what a careful engineer writes by hand, without this project.

Mean pooling over tokens for the frozen encoder, best epoch by validation loss, dynamic padding, warm-up, weight
decay: no known mistake, no search over settings either. The budget (epochs, rows, batch size) is that of the job.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, TaskType, get_peft_model
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

from finetune_trainer.data import Examples, Prepared

EVALUATION_ROWS = 64


def tune_by_hand(data: Prepared, model: Path, method: str, settings: dict[str, Any]) -> dict[str, float]:
    """Return accuracy and macro F1 on the test rows."""
    torch.manual_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(model)
    if method == "FeatureExtraction":
        predicted = _logistic_regression(data, model, tokenizer, settings["max_length"])
    else:
        predicted = _tune(data, model, tokenizer, method, settings)
    expected = data.splits["test"].targets
    return {"accuracy": accuracy_score(expected, predicted), "f1Macro": f1_score(expected, predicted, average="macro")}


def _tune(data: Prepared, path: Path, tokenizer: Any, method: str, settings: dict[str, Any]) -> NDArray[np.int64]:
    model = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=len(data.labels.names), dtype=torch.float32
    )
    if method == "LoRA":
        kept = ["pooler", "classifier"]
        model = get_peft_model(
            model,
            LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, lora_dropout=0.05,
                       target_modules="all-linear", modules_to_save=kept),
        )  # fmt: skip
    train, validation = data.splits["train"], data.splits["validation"]
    size = settings["batch_size"]
    steps = int(settings["epochs"] * -(-len(train) // size))
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=settings["learning_rate"], weight_decay=0.01
    )
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.06 * steps), steps)
    best, kept_state = float("inf"), None
    for _ in range(int(settings["epochs"])):
        model.train()
        for rows in torch.randperm(len(train)).split(size):
            logits = _logits(model, tokenizer, train, rows.numpy(), settings["max_length"])
            loss = functional.cross_entropy(logits, torch.from_numpy(np.asarray(train.targets)[rows.numpy()]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        held_out = functional.cross_entropy(
            _all_logits(model, tokenizer, validation, settings["max_length"]),
            torch.from_numpy(np.asarray(validation.targets)),
        ).item()
        if held_out < best:
            best, kept_state = held_out, copy.deepcopy(model.state_dict())
    if kept_state is not None:
        model.load_state_dict(kept_state)
    return _all_logits(model, tokenizer, data.splits["test"], settings["max_length"]).argmax(-1).numpy()  # type: ignore[no-any-return]


def _logits(model: Any, tokenizer: Any, examples: Examples, rows: NDArray[np.int64], limit: int) -> torch.Tensor:
    texts = [examples.texts[row] for row in rows]
    batch = tokenizer(texts, truncation=True, max_length=limit, padding=True, return_tensors="pt")
    return model(**batch).logits  # type: ignore[no-any-return]  # transformers is untyped


@torch.no_grad()
def _all_logits(model: Any, tokenizer: Any, examples: Examples, limit: int) -> torch.Tensor:
    model.eval()
    parts = np.array_split(np.arange(len(examples)), max(1, len(examples) // EVALUATION_ROWS))
    return torch.cat([_logits(model, tokenizer, examples, part, limit) for part in parts])


def _logistic_regression(data: Prepared, path: Path, tokenizer: Any, limit: int) -> NDArray[np.int64]:
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    features = {split: _mean_vectors(model, tokenizer, data.splits[split], limit) for split in ("train", "test")}
    classifier = LogisticRegression(max_iter=2000).fit(features["train"], data.splits["train"].targets)
    return classifier.predict(features["test"])  # type: ignore[no-any-return]  # scikit-learn is untyped


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
