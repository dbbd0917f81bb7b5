"""Passes that do not fit into memory are halved, in a process whose address space is limited for real."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIMITED = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from accelerate import Accelerator
from transformers import LlamaConfig, LlamaForCausalLM
from finetune_api.metrics import metric_named
from finetune_api.tasks import Task
from finetune_api.training import Training
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.observer import Monitor, PassLimit
from finetune_trainer.training.loop import Loop, TrainingPlan
from finetune_trainer.training.losses.base import TokenLoss
from finetune_trainer.training.losses.token_scores import evaluate_tokens
from finetune_trainer.training.state.best_weights import BestWeights

folder, mebibytes, length = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
torch.manual_seed(5)
config = LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=16_384, num_hidden_layers=1,
                     num_attention_heads=2, num_key_value_heads=2, pad_token_id=0)
model, warnings = LlamaForCausalLM(config), []
count = 1_024 // length
ids = np.random.default_rng(1).integers(3, 64, count * length).astype(np.int32)
tokens = Tokens(ids, np.arange(0, count * length + 1, length), np.full(count, length, np.int32), None, ids.copy())
rows = TokenRows(tokens, 0)
batches = BatchPlan(rows.lengths, count, 0, 2_048, 1, pass_cost=4_096)
settings = Training.model_validate({"warmup_ratio": 0})
plan = TrainingPlan(settings, 1e-2, 2, 2, metric_named(Task.CAUSAL_LM, "evalLoss"), batches)
loop = Loop(model, rows, TokenLoss(np.full(count, length - 1), shift=True), plan, Accelerator(cpu=True),
            best=BestWeights(folder))

class Observer:
    losses = []
    def trained(self, progress, tally): self.losses.append(progress.loss)
    def evaluated(self, *_): ...
    def warned(self, text): warnings.append(text)

if mebibytes:
    used = int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmSize")).split()[1])
    resource.setrlimit(resource.RLIMIT_AS, (used * 1024 + mebibytes * 2**20,) * 2)
limit = PassLimit(warnings.append)
scores = evaluate_tokens(model, rows, Monitor(limit=limit), shift=True)["loss"].tolist() if length < 1_024 else []
before = list(warnings)
try:
    loop.run(None, Observer())
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
    raise SystemExit
print(json.dumps({
    "losses": Observer.losses, "weights": [float(w.detach().double().sum()) for w in model.parameters()],
    "scores": scores, "evaluation": before, "training": warnings[len(before):],
    "budget": loop.snapshot().values["training"]["token_budget"]}))
"""


def limited(folder: Path, mebibytes: int, length: int = 64) -> dict[str, Any]:
    """Results of two steps of 1,024 tokens, with so many MiB to allocate; 0 for no limit."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(mebibytes), str(length)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")


def test_passes_are_halved_with_the_same_result_and_said(tmp_path: Path) -> None:
    whole, part = limited(tmp_path, 0), limited(tmp_path, 160)
    assert (whole["evaluation"], whole["training"], whole["budget"]) == ([], [], 2_048)
    assert len(part["evaluation"]) == 1
    assert 1 <= len(part["training"]) <= 2, "once a step at most: an address space may be in pieces"
    assert "a pass of 1024 tokens (evaluation) does not fit into memory" in part["evaluation"][0]
    assert f"from now on they have {part['budget']} at most, with the same rows in each step" in part["training"][-1]
    assert part["budget"] in {512, 256, 128, 64}
    for name in ("losses", "weights", "scores"):
        assert part[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-3), name


@pytest.mark.causes("OutOfMemory")
def test_a_row_that_does_not_fit_alone_is_a_failure_with_what_to_change(tmp_path: Path) -> None:
    failed = limited(tmp_path, 60, length=1_024)
    assert failed["error"] == "OutOfMemory"
    assert "one row of 1024 tokens alone does not fit into memory" in failed["text"]
