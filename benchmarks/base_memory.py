"""Peak memory of tuning a BF16 language model by an adapter: base in FP32, in its own format, in 4 bits.

Usage: base_memory.py [--layers N]. A Llama of random weights is made on the spot; each way is measured in a process of
its own, after loading, after a training step and after the merged export. Prints a Markdown table in MiB, less what
the process had before it loaded the model.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

WAYS = {"LoRA, base in FP32": (False, False), "LoRA": (True, False), "QLoRA": (True, True)}
"""By name: whether the base keeps its format, whether it is quantized."""
_TOKENS = (2, 128)


def main() -> None:
    """Measure all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8, help="layers of 12.6 million weights")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(_measure(Path(given.folder), *WAYS[given.measure])))
        return
    with tempfile.TemporaryDirectory() as folder:
        _save_base(Path(folder), given.layers)
        size = sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))
        print(f"Llama in BF16, {size / 2**20:.0f} MiB of weights, {_TOKENS[0]} rows of {_TOKENS[1]} tokens\n")
        print("| Method | loaded | after a step | after the merged export |\n| --- | ---: | ---: | ---: |")
        for name in WAYS:
            command = [sys.executable, __file__, "--measure", name, "--folder", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks = json.loads(done.stdout.splitlines()[-1])
            print(f"| {name} | {' | '.join(f'{peak:.0f}' for peak in peaks)} |", flush=True)


def _save_base(folder: Path, layers: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=16_384,
        hidden_size=1_024,
        intermediate_size=2_816,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def _measure(folder: Path, own_dtype: bool, quantized: bool) -> list[float]:
    import torch

    from finetune_api.inference import Quantization
    from finetune_api.method import Method
    from finetune_api.tasks import MethodType, Task
    from finetune_api.training import Training
    from finetune_trainer.methods import METHODS
    from finetune_trainer.models.assembly import load_whole
    from finetune_trainer.models.files import ModelFiles
    from finetune_trainer.models.model_loading import ModelLoading
    from finetune_trainer.training.optimizers import build_optimizer

    torch.set_num_threads(2)
    files = ModelFiles("base", folder, "", str(folder))
    kind = MethodType.QLORA if quantized else MethodType.LORA
    if quantized:
        import bitsandbytes  # noqa: F401 -- what the libraries take is not the model's
    before, peaks = _peak(), []
    how = ModelLoading(own_dtype=own_dtype, quantization=Quantization() if quantized else None)
    model = load_whole(files, Task.CAUSAL_LM, how)
    peaks.append(_peak() - before)
    adapted = METHODS[kind](model, files, Method(type=kind), folder)
    optimizer = build_optimizer(adapted.model, 1e-4, Training(weight_decay=0))
    ids = torch.randint(0, 16_000, _TOKENS)
    adapted.model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    peaks.append(_peak() - before)
    with tempfile.TemporaryDirectory() as target:
        if adapted.merge is not None:
            adapted.merge(Path(target), torch.bfloat16 if own_dtype else torch.float32)
    peaks.append(_peak() - before)
    return peaks


def _peak() -> float:
    """The most memory that this process ever had, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
