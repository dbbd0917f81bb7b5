"""How true is the estimate of memory? Estimated and measured peaks of training, side by side.

    make bench-estimate ARGS="--only bert-LoRA"

Models of 20 to 40 million random weights, made on the spot; each is trained for two steps by each method, in a
process of its own. Measured is what the process had at most (VmHWM, set back after each step through
/proc/self/clear_refs), less what it had before the model was loaded. glibc keeps freed blocks of less than 32 MiB, by
how they happened to lie: one training of 2.2 GiB then took 2.7. So blocks from 64 KiB on are mapped by themselves
(MALLOC_MMAP_THRESHOLD_), and what is freed is gone. One thread: kernels keep buffers for each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LENGTH, ROWS, WORDS = 250, 96, 8_000
METHODS = ("Full", "LoRA", "QLoRA")
_BERT = {"vocab_size": WORDS, "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8}
_BERT |= {"intermediate_size": 2048, "max_position_embeddings": 512, "pad_token_id": 0}
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("SequenceClassification", "bert", _BERT),
    "distilbert": (
        "TokenClassification",
        "distilbert",
        {"vocab_size": WORDS, "dim": 512, "n_layers": 6, "n_heads": 8, "hidden_dim": 2048, "pad_token_id": 0},
    ),
    "llama": (
        "CausalLM",
        "llama",
        {"vocab_size": WORDS, "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, **_IDS}
        | {"num_key_value_heads": 4, "intermediate_size": 1408, "tie_word_embeddings": True},
    ),
    "gpt2": ("CausalLM", "gpt2", {"vocab_size": WORDS, "n_embd": 512, "n_layer": 6, "n_head": 8, **_IDS}),
    "t5": (
        "Seq2Seq",
        "t5",
        {"vocab_size": WORDS, "d_model": 512, "d_ff": 1024, "num_layers": 5, "num_heads": 8, **_IDS}
        | {"decoder_start_token_id": 0},
    ),
    "roberta": ("MaskedLM", "roberta", _BERT | {"max_position_embeddings": 514, "pad_token_id": 0}),
}
"""By name: task, type of the model, and its config."""
_CHILD = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "0",
}


def main() -> None:
    """Measure the kinds by all methods, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="such as bert-LoRA; by default all")
    parser.add_argument("--json", action="store_true", help="a JSON object a line instead of a table")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps({"measured": _measure(Path(given.measure))}))
        return
    if not given.json:
        print("| Model | Method | estimated MiB | measured MiB | ratio |\n| --- | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only or [f"{kind}-{method}" for kind in KINDS for method in METHODS]:
            kind, method = name.split("-")
            job = write_job(Path(folder), kind, method)
            found = compare(job)
            if given.json:
                print(json.dumps({"name": name, **found}), flush=True)
            else:
                ratio = found["estimated"] / found["measured"]
                cells = f"{found['estimated']:.0f} | {found['measured']:.0f} | {ratio:.2f}"
                print(f"| {kind} | {method} | {cells} |", flush=True)


def compare(job: Path) -> dict[str, float]:
    """Estimated and measured peak of training a job, in MiB."""
    told = _child([sys.executable, "-m", "finetune_trainer", "estimate", str(job), "--json"])
    estimated = sum(told["phases"]["train"]["device"].values()) / 2**20
    return {"estimated": estimated, **_child([sys.executable, __file__, "--measure", str(job)])}


def _child(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | _CHILD)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def write_job(folder: Path, kind: str, method: str) -> Path:
    """A job with its model and rows in a folder, and its path."""
    task, model_type, config = KINDS[kind]
    model = folder / kind
    if not model.exists():
        _save_model(model, task, model_type, config)
    (folder / f"{kind}.jsonl").write_text("".join(json.dumps(_row(task, number)) + "\n" for number in range(ROWS)))
    spec: dict[str, Any] = {
        "task": task,
        "model": {"uri": model.as_uri()},
        "data": {
            "train": [{"uri": f"file://./{kind}.jsonl"}],
            "split": {"validation": 0, "test": 0.1},
            "clean": {"dropDuplicates": False},
            "maxLength": 256,
        },
        "method": {"type": method},
        "training": {"maxSteps": 2, "batchSize": 16, "precision": "FP32"},
        "evaluation": {"baseline": False},
        "checkpoints": {"saveSteps": 1000},
        "output": {"uri": f"file://./out-{kind}-{method}"},
    }
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": kind}, "spec": spec}
    job = folder / f"{kind}-{method}.json"
    job.write_text(json.dumps(manifest))
    return job


def _row(task: str, number: int) -> dict[str, Any]:
    words = [f"w{(number * 977 + place * 131) % (WORDS - 10)}" for place in range(LENGTH)]
    text = " ".join(words)
    return {
        "SequenceClassification": {"text": text, "label": "ab"[number % 2]},
        "TokenClassification": {"tokens": words, "tags": ["O", "B-X"] * (LENGTH // 2)},
        "CausalLM": {"text": text},
        "MaskedLM": {"text": text},
        "Seq2Seq": {"input": text, "target": " ".join(words[:64])},
    }[task]


def _save_model(folder: Path, task: str, model_type: str, config: dict[str, Any]) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, PreTrainedTokenizerFast

    from finetune_api.tasks import Task
    from finetune_trainer.models.auto_classes import auto_class

    torch.manual_seed(0)
    auto_class(Task(task)).from_config(AutoConfig.for_model(model_type, **config)).save_pretrained(folder)
    special = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
    names = [*special, *(f"w{number}" for number in range(WORDS - len(special)))]
    raw = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token=special[3]))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    roles = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token", "mask_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=raw, **roles).save_pretrained(folder)


def _measure(job: Path) -> float:
    """Most memory of this process in the second step of a run, less what it had before the model, in MiB."""
    import bitsandbytes  # noqa: F401 -- what libraries take is not the model's
    import peft  # noqa: F401 -- as above
    import torch

    from finetune_trainer.cli.plain_progress import PlainObserver
    from finetune_trainer.cli.silence_libraries import silence_libraries
    from finetune_trainer.manifest import load_job
    from finetune_trainer.run import run_job
    from finetune_trainer.storage import Site

    silence_libraries()
    torch.nn.functional.linear(torch.randn(64, 64, requires_grad=True), torch.randn(64, 64)).sum().backward()

    class Watch(PlainObserver):
        """Memory before the model is loaded, and at each step's peak."""

        before = 0.0
        peaks: tuple[float, ...] = ()

        def data_ready(self, report: Any) -> None:
            super().data_ready(report)
            self.before = _memory("VmRSS")

        def trained(self, progress: Any, tally: Any) -> None:
            super().trained(progress, tally)
            self.peaks = (*self.peaks, _memory("VmHWM"))
            Path("/proc/self/clear_refs").write_text("5")

    watch = Watch(sys.stderr)
    loaded = load_job(str(job), [], to_run=True)
    result = run_job(loaded.job, Site(loaded.base), "bench", watch)
    if result.failure is not None:
        raise result.failure
    return watch.peaks[1] - watch.before


def _memory(name: str) -> float:
    """A figure of this process's memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
