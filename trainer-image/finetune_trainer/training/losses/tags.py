"""Token classification: the most likely tag of each word with its probability, and the cross-entropy of each row."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.observer import Monitor
from finetune_trainer.training.inference import Outputs, run_rows

TAGS, SCORES, LOSS, COUNTED = "tags", "scores", "loss", "counted"


def predict_tags(model: nn.Module, rows: RowSource, monitor: Monitor | None = None) -> Outputs:
    """Predict the tags of all words, the labelled tokens of the rows.

    Returns `tags` [n, words] int32, the numbers of the likeliest tags, and `scores` [n, words] float32, their
    probabilities, both in the order of the words and filled up with -1; `loss` [n] float32, the sum over a row's words;
    `counted` [n] int64, their number.
    """

    def look(batch: dict[str, Tensor]) -> Outputs:
        inputs = dict(batch)
        labels = inputs.pop("labels")
        logits = model(**inputs).logits[:, -labels.shape[1] :].float()  # soft prompts put positions in front
        counted = labels != IGNORE_INDEX
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        scores, tags = logits.softmax(-1).max(-1)
        order = (~counted).long().argsort(dim=1, stable=True)  # the words of a row to the left
        width = max(1, int(counted.sum(dim=1).max()))
        kept = counted.gather(1, order)[:, :width]
        return {
            TAGS: tags.gather(1, order)[:, :width].masked_fill(~kept, -1).to(torch.int32).cpu().numpy(),
            SCORES: scores.gather(1, order)[:, :width].masked_fill(~kept, -1).cpu().numpy(),
            LOSS: losses.view(labels.shape).sum(dim=1).cpu().numpy().astype(np.float32),
            COUNTED: counted.sum(dim=1).cpu().numpy(),
        }

    return run_rows(model, rows, look, monitor)
