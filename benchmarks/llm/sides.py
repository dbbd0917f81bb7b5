"""The sides of the comparison, each in a process of its own: TRL's trainers, and a job of this project."""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH, RATE, SEED, LONGEST = 8, 1e-2, 42, 1024
DPO_RATE = 1e-4
OURS = "this project"
Figures = dict[str, float]


def measure(arguments: argparse.Namespace) -> Figures:
    """Train one side; returns rows a second of processor time, held-out loss, and the peak of memory in MB."""
    folder, kind = Path(arguments.folder), arguments.kind
    rows = len((folder / f"{kind}.jsonl").read_text().splitlines())
    with tempfile.TemporaryDirectory() as scratch:
        tuned = Path(scratch, "tuned")
        train = _ours if arguments.side == OURS else _trl
        seconds = train(folder, kind, arguments.side, tuned)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"rate": rows / seconds, "loss": held_out_loss(folder, kind, tuned), "peak": peak}


def _trl(folder: Path, kind: str, side: str, tuned: Path) -> float:
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    common: dict[str, Any] = {
        "output_dir": str(tuned), "per_device_train_batch_size": BATCH, "num_train_epochs": 1, "seed": SEED,
        "lr_scheduler_type": "constant", "max_length": LONGEST, "report_to": "none", "use_cpu": True,
        "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
        "learning_rate": RATE if kind == "sft" else DPO_RATE,
    }  # fmt: skip
    if "FP32" in side:
        common |= {"bf16": False, "gradient_checkpointing": False}
    if "grouped" in side:
        common["train_sampling_strategy"] = "group_by_length"
    if "packed" in side:  # a sequence of 1,024 tokens has about as many rows as a batch
        common |= {"packing": True, "per_device_train_batch_size": 1}
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    trainer_class, config = (SFTTrainer, SFTConfig) if kind == "sft" else (DPOTrainer, DPOConfig)
    dropout = 0.05 if kind == "sft" else 0.0
    trainer = trainer_class(
        model,
        args=config(**common),
        train_dataset=load_dataset("json", data_files=str(folder / f"{kind}.jsonl"), split="train"),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=dropout, target_modules="all-linear"
        ),
    )
    started = time.process_time()
    trainer.train()
    seconds = time.process_time() - started
    trainer.model.save_pretrained(tuned)
    return seconds


def _ours(folder: Path, kind: str, _side: str, tuned: Path) -> float:
    from ours import run_ours

    import finetune_trainer.run
    from finetune_trainer.training.loop import Loop

    spent = list[float]()
    _timed(Loop, "run", spent)
    if kind == "dpo":
        _timed(finetune_trainer.run, "with_reference", spent)
    columns = ("prompt", "completion") if kind == "sft" else ("prompt", "chosen", "rejected")
    spec: dict[str, Any] = {
        "task": "CausalLM" if kind == "sft" else "Preference",
        "model": {"uri": (folder / "model").as_uri()},
        "data": {
            "train": [{"uri": (folder / f"{kind}.jsonl").as_uri()}],
            "split": {"validation": 0, "test": 0, "nearDuplicates": "Ignore"},
            "columns": {name: name for name in columns},
            "promptTemplate": "{prompt} ",
            "maxLength": LONGEST,
            "clean": {"dropDuplicates": False},
        },
        "method": {"type": "LoRA", "lora": {"rank": 8, "alpha": 16}},
        "training": {
            "epochs": 1, "learningRate": RATE if kind == "sft" else DPO_RATE, "batchSize": BATCH, "seed": SEED,
            "lrSchedulerType": "Constant", "warmupRatio": 0, "weightDecay": 0, "earlyStopping": {"patience": 0},
        },
        "evaluation": {"baseline": False, "generation": {"maxNewTokens": 1}},
    }  # fmt: skip
    run_ours(spec, folder, tuned)
    return sum(spent)


def _timed(owner: Any, name: str, spent: list[float]) -> None:
    """Add the processor seconds of each call of a function to `spent`."""
    plain: Callable[..., Any] = getattr(owner, name)

    def timed(*given: Any, **settings: Any) -> Any:
        started = time.process_time()
        try:
            return plain(*given, **settings)
        finally:
            spent.append(time.process_time() - started)

    setattr(owner, name, timed)


def held_out_loss(folder: Path, kind: str, tuned: Path) -> float:
    """Cross-entropy of a token of the held-out answers (the chosen ones of pairs), in nats."""
    import torch
    from peft import PeftModel
    from torch.nn import functional
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "model"), tuned).eval()
    total, tokens = 0.0, 0
    for line in (folder / f"test-{kind}.jsonl").read_text().splitlines():
        row = json.loads(line)
        prompt, answer = (
            tokenizer(text)["input_ids"] for text in (row["prompt"], row.get("completion", row.get("chosen")))
        )
        ids = torch.tensor([*prompt, *answer, tokenizer.eos_token_id])
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, len(prompt) - 1 : -1]
        total += float(functional.cross_entropy(logits.float(), ids[len(prompt) :], reduction="sum"))
        tokens += len(ids) - len(prompt)
    return total / tokens
