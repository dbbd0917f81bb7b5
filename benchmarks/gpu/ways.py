"""Ways of training that are measured: method and settings of a job, and the sides of TRL."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpu.sizes import Size

RATE, RANK, ALPHA, SEED = 2e-3, 16, 32, 42
_LORA = {"rank": RANK, "alpha": ALPHA, "dropout": 0}


@dataclass(frozen=True)
class Way:
    """One row of the table."""

    name: str
    method: str
    """`spec.method.type`; LoRA for all sides of TRL."""
    training: dict[str, Any] = field(default_factory=dict, hash=False)
    """Settings below `spec.training`."""
    needs: tuple[str, ...] = ()
    """Packages that the trainer's image need not have."""
    by_trl: bool = False
    packed: bool = False
    liger: bool = False

    def missing(self) -> list[str]:
        """Packages that are not installed here."""
        return [name for name in self.needs if find_spec(name) is None]


_FLASH = {"attnImplementation": "FlashAttention2", "packing": "Always"}
WAYS = (
    Way("LoRA", "LoRA"),
    Way("TRL, LoRA", "LoRA", needs=("trl",), by_trl=True),
    Way("LoRA, packed, SDPA", "LoRA", {"attnImplementation": "SDPA", "packing": "Always"}),
    Way("LoRA, packed, FlashAttention2", "LoRA", _FLASH, needs=("flash_attn",)),
    Way("TRL, LoRA, packed, FlashAttention2", "LoRA", needs=("trl", "flash_attn"), by_trl=True, packed=True),
    Way(
        "TRL, LoRA, packed, FlashAttention2, Liger",
        "LoRA",
        needs=("trl", "flash_attn", "liger_kernel"),
        by_trl=True,
        packed=True,
        liger=True,
    ),
    Way("QLoRA", "QLoRA"),
    Way("Full, AdamW8bit, recomputed", "Full", {"optimizer": "AdamW8bit", "activationCheckpointing": True}),
    Way("Full, AdamW", "Full"),
)
"""In the order in which they are measured: those that say most come first, since time may run out."""


def ways() -> Iterator[tuple[Way, str]]:
    """Each way, and why it can't be measured here; empty where it can."""
    for way in WAYS:
        missing = way.missing()
        yield way, f"{', '.join(missing)} not installed" if missing else ""


def way_named(name: str) -> Way:
    """The way of a name."""
    return next(way for way in WAYS if way.name == name)


def job_of(way: Way, folder: Path, size: Size) -> dict[str, Any]:
    """The job of a way over the model and the rows of a folder."""
    settings = {} if way.method == "Full" else {way.method.lower(): _LORA}
    spec: dict[str, Any] = {
        "task": "CausalLM",
        "model": {"uri": (folder / "model").as_uri()},
        "data": {
            "train": [{"uri": (folder / "rows.jsonl").as_uri()}],
            "split": {"validation": 0, "test": 0, "nearDuplicates": "Ignore"},
            "columns": {"prompt": "prompt", "completion": "completion"},
            "promptTemplate": "{prompt} ",
            "maxLength": size.longest,
            "clean": {"dropDuplicates": False},
        },
        "method": {"type": way.method, **settings},
        "training": {
            "maxSteps": size.steps,
            "batchSize": size.batch,
            "learningRate": RATE if way.method != "Full" else RATE / 10,
            "lrSchedulerType": "Constant",
            "warmupRatio": 0,
            "weightDecay": 0,
            "precision": "BF16",
            "seed": SEED,
            "earlyStopping": {"patience": 0},
            **way.training,
        },
        "evaluation": {"baseline": False, "generation": {"maxNewTokens": 1}},
        "checkpoints": {"saveSteps": 1_000_000},
        "output": {"uri": (folder / "runs").as_uri()},
    }
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "gpu-check"}}
    return {**manifest, "spec": spec}
