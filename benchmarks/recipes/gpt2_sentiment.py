"""By hand: GPT-2 tells the mood of tweets, every tweet padded to all that the model can take, one a pass, four a step.

What tutorials get wrong is right here: the model is told which token pads. Where only the tokenizer knows, the head
looks at the last position, which is padding.
"""

import tempfile
from pathlib import Path

import torch
from plain_trainer import encode, measure, quiet_arguments
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, set_seed

from finetune_api.spec import Spec
from finetune_trainer.data import Prepared


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns the figures on the test rows."""
    training = spec.training
    set_seed(training.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(data.labels.names), dtype=torch.float32, pad_token_id=tokenizer.pad_token_id
    )
    limit = spec.data.max_length
    assert limit is not None  # noqa: S101 -- the recipe has it
    with tempfile.TemporaryDirectory() as scratch:
        arguments = quiet_arguments(
            Path(scratch),
            num_train_epochs=training.epochs or 0,
            learning_rate=training.learning_rate or 0,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=training.batch_size or 0,
            weight_decay=training.weight_decay,
            seed=training.seed,
            save_strategy="no",
        )
        rows = encode(data, "train", tokenizer, limit, padded=True)
        Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()
    return measure(model, data, tokenizer, limit)
