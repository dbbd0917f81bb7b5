"""Memory on a GPU: passes that really do not fit are halved, and logits are there a chunk at a time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

pytestmark = pytest.mark.gpu

LIMITED = """
import json, sys, torch
from pathlib import Path
from ours import run_ours
spec, share = json.loads(sys.argv[1]), float(sys.argv[2])
if torch.cuda.is_available() and share:
    torch.cuda.set_per_process_memory_fraction(share)
report = run_ours(spec, Path(sys.argv[3]))
peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0
total = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 1
print(json.dumps({"losses": [point.loss for point in report.curves], "share": peak / total}))
"""


def limited(spec: dict[str, Any], share: float, folder: Path) -> tuple[dict[str, Any], str]:
    """Losses and reserved memory of a run in a process with a share of the GPU's memory; and its log."""
    program = LIMITED.replace("from ours import run_ours", f"sys.path.insert(0, {str(_BENCHMARKS)!r})\n{_NOISY}")
    command = [sys.executable, "-c", program, json.dumps(spec), str(share), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return json.loads(ended.stdout.splitlines()[-1]), ended.stderr


_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
_NOISY = """import ours
from ours import run_ours
from finetune_trainer.cli.plain_progress import PlainObserver
ours.PlainObserver = lambda _: PlainObserver(sys.stderr)"""
_WIDE = {"hidden_size": 256, "intermediate_size": 65_536, "num_hidden_layers": 2, "vocab_size": 1_024}


def test_passes_that_do_not_fit_are_halved(spec: Callable[..., dict[str, Any]], tmp_path: Path, device: str) -> None:
    from gpu.inputs import write_model

    sizes = _WIDE if device == "cuda" else {**_WIDE, "hidden_size": 16, "intermediate_size": 64}
    model = write_model(tmp_path / "wide", "llama", {**sizes, "num_attention_heads": 4}, 2_048)
    rows = [{"prompt": "w1 " * 900, "completion": f"w{number} " * 100} for number in range(16)]
    job = spec(maxSteps=3, batchSize=16)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job["model"]["uri"], job["data"]["maxLength"] = model.as_uri(), 1_024
    if device == "cpu":  # without a GPU only the way of the test is tried: a CPU has other passes
        job["training"] |= {"batchSize": 2, "maxSteps": 1}
    whole, quiet = limited(job, 0, tmp_path)
    assert "do not fit into memory" not in quiet
    part, said = limited(job, 0.6 * whole["share"], tmp_path)
    assert part["losses"] == pytest.approx(whole["losses"], rel=0.02)
    assert device == "cpu" or "training passes of up to 16384 tokens do not fit into memory" in said


def test_logits_are_there_a_chunk_at_a_time(device: str) -> None:
    """At this vocabulary the logits of all positions, in FP32, are 2 GiB: four such matrices in a plain step."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from finetune_trainer.training.speedups.labelled_logits import labelled_logits

    positions, vocabulary = (2_048, 262_144) if device == "cuda" else (48, 70_000)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config).to(device)
    ids = torch.randint(5, vocabulary, (1, positions), device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    started = torch.cuda.memory_allocated() if device == "cuda" else 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    found = labelled_logits(model, inputs, shift=True).losses().mean()
    found.backward()  # type: ignore[no-untyped-call]  # torch's own
    if device == "cuda":
        weights = sum(weight.nbytes for weight in model.parameters())
        assert torch.cuda.max_memory_allocated() - started - weights < 4 * positions * vocabulary * 1.1
    gradient = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    expected = functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
    expected.backward()  # type: ignore[no-untyped-call]  # as above
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    plain = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(gradient, plain, strict=True))
