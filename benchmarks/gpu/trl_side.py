"""TRL's `SFTTrainer` on the same rows, with the same adapter, batches, rate, seed and precision, measured alike."""

import time
from pathlib import Path
from typing import Any

from gpu.held_out import held_out_loss
from gpu.inputs import read_rows
from gpu.peak_memory import PeakMemory
from gpu.sizes import Size
from gpu.ways import ALPHA, RANK, RATE, SEED, Way

_PASSES = 4
"""Passes of a step."""


def measure(way: Way, folder: Path, size: Size) -> dict[str, float]:
    """Train by TRL."""
    memory = PeakMemory()
    memory.before_model()
    trainer = _trainer(way, folder, size)
    clock = _clock(size.warm_up, memory)
    trainer.add_callback(clock)
    _count_tokens(trainer, clock)
    trainer.train()
    tuned = folder / "trl-tuned"
    trainer.model.save_pretrained(tuned)
    return {"rate": clock.tokens_per_second, "loss": held_out_loss(folder, tuned), "peak": clock.peak, "estimated": 0}


def _trainer(way: Way, folder: Path, size: Size) -> Any:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = [{**row, "prompt": f"{row['prompt']} "} for row in read_rows(folder / "rows.jsonl")]
    attention = "flash_attention_2" if way.packed else "sdpa"
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16, attn_implementation=attention)
    adapter = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules="all-linear")
    return SFTTrainer(
        model,
        args=SFTConfig(**_settings(way, folder, size)),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        peft_config=adapter,
    )


def _settings(way: Way, folder: Path, size: Size) -> dict[str, Any]:
    import torch

    sequences = _packed_sequences(folder, size) if way.packed else size.batch
    return {
        "output_dir": str(folder / "trl"), "max_steps": size.steps, "learning_rate": RATE, "seed": SEED,
        "per_device_train_batch_size": max(1, sequences // _PASSES), "gradient_accumulation_steps": _PASSES,
        "lr_scheduler_type": "constant", "max_length": size.longest, "bf16": True, "gradient_checkpointing": False,
        "packing": way.packed, "use_liger_kernel": way.liger, "use_cpu": not torch.cuda.is_available(),
        "report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
        **({} if way.packed else {"train_sampling_strategy": "group_by_length"}),
    }  # fmt: skip


def _packed_sequences(folder: Path, size: Size) -> int:
    """Full sequences with about as many rows as a batch."""
    rows = read_rows(folder / "rows.jsonl")
    tokens = sum(len(f"{row['prompt']} {row['completion']}".split()) + 1 for row in rows) / len(rows)
    return max(_PASSES, round(size.batch * tokens / size.longest))


def _clock(warm_up: int, memory: PeakMemory) -> Any:
    """A callback that times the steps after the first ones, on a device that has finished them."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        start, seconds, before, peak = 0.0, 0.0, 0.0, 0
        tokens: Any = 0

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step == warm_up:
                self.before, self.start = float(self.tokens), _synchronised()
                memory.begin()
            elif state.global_step == state.max_steps:
                self.seconds, self.peak = _synchronised() - self.start, memory.bytes()

        @property
        def tokens_per_second(self) -> float:
            return (float(self.tokens) - self.before) / self.seconds

    return Clock()


def _count_tokens(trainer: Any, clock: Any) -> None:
    """Count tokens without padding on the device, so that no step waits for the number."""
    plain = trainer.compute_loss

    def counted(model: Any, inputs: Any, *given: Any, **settings: Any) -> Any:
        mask = inputs.get("attention_mask")
        clock.tokens = clock.tokens + (inputs["input_ids"].numel() if mask is None else mask.sum())
        return plain(model, inputs, *given, **settings)

    trainer.compute_loss = counted


def _synchronised() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()
