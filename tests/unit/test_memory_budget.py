"""Tokens of a pass by the memory that is available and by the sizes of the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from finetune_trainer.memory import available, token_budget
from finetune_trainer.memory.logits import chunk_positions, logits_bytes
from finetune_trainer.memory.model_shape import shape_of
from finetune_trainer.memory.token_budget import generation_tokens, inference_tokens, training_tokens

CPU = torch.device("cpu")
GIB = 1 << 30


def llama(**settings: Any) -> Any:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = AutoConfig.for_model("llama", vocab_size=1_000, num_key_value_heads=2, **sizes | settings)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the available memory."""
    return lambda size: monkeypatch.setattr(token_budget, "available_bytes", lambda _device: int(size))


def test_shapes_are_read_from_configs_of_all_kinds() -> None:
    shape = shape_of(llama())
    assert shape is not None
    assert (shape.hidden, shape.inner, shape.layers, shape.heads, shape.vocabulary) == (64, 96, 3, 4, 1_000)
    assert shape.cached == 2 * 3 * 2 * 16, "keys and values of two heads of 16 in three layers"
    assert not shape.attention_matrix
    gpt2 = AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=2)
    t5 = AutoConfig.for_model("t5", d_model=32, d_ff=48, num_layers=2, num_heads=2)
    with torch.device("meta"):
        found = [shape_of(AutoModelForCausalLM.from_config(gpt2)), shape_of(AutoModelForSeq2SeqLM.from_config(t5))]
    assert [(one.hidden, one.inner, one.layers, one.attention_matrix) for one in found if one] == [
        (32, 128, 2, True),
        (32, 48, 4, True),
    ]
    assert shape_of(nn.Linear(2, 2)) is None


def test_with_room_to_spare_the_budgets_are_what_is_worth_it(room: Any) -> None:
    room(1_000 * GIB)
    model = llama()
    assert training_tokens(model, CPU, 128, mixed=False) == 2_048
    assert inference_tokens(model, CPU, 128) == 4_096
    assert training_tokens(nn.Linear(2, 2), CPU, 128, mixed=False) == 2_048, "of what has no known sizes, too"


def test_with_less_memory_they_are_halved_and_one_token_at_least(room: Any) -> None:
    """By hand: 12 x 64 + 4 x 96 = 1,152 values a layer, 3 layers, 4 bytes: 13,824 bytes a token; logits 16,000."""
    model = llama().requires_grad_(requires_grad=False)
    for tokens in (2_048, 1_024, 256):
        room((tokens * (13_824 + 16_000) + 1_000) / 0.8)
        assert training_tokens(model, CPU, 128, mixed=False) == tokens
    room(0)
    assert training_tokens(model, CPU, 128, mixed=False) == 1
    room((1_024 * (13_824 + 16_000) + 1_000) / 0.8)
    trained = llama()
    assert training_tokens(trained, CPU, 128, mixed=False) < 1_024, "gradients and optimizer states come, too"
    trained.requires_grad_(requires_grad=False).activation_checkpointing_enable()
    assert training_tokens(trained, CPU, 128, mixed=False) > 1_024 // 2


def test_generation_counts_new_tokens_beams_and_the_cache(room: Any) -> None:
    model = llama()
    text = 100 * 2 * 3 * 2 * 16 * 4 + 3 * 4 * 1_000  # a cache of 100 tokens in FP32, and logits of the last one
    room(64 * text / 0.8 + 10)
    assert 32 <= generation_tokens(model, CPU, 100) // 100 <= 64
    assert 8 <= generation_tokens(model, CPU, 100, beams=4) // 100 <= 16
    room(0)
    assert generation_tokens(model, CPU, 100) == 1


def test_logits_are_counted_once_for_a_chunk() -> None:
    assert chunk_positions(262_144, "cpu") == 128
    assert chunk_positions(1 << 40, "cpu") == 1
    assert logits_bytes(100_000, 262_144, "cpu") == 4 * 4 * 262_144 * 128
    assert logits_bytes(10, 262_144, "cpu") == 4 * 4 * 262_144 * 10
    assert logits_bytes(2_048, 50_000, "cpu") == 4 * 4 * 50_000 * 2_048, "all at once: a chunk is computed twice"
    assert logits_bytes(4_096, 50_000, "cpu") == 4 * 4 * 50_000 * 671


def test_a_limit_of_the_container_goes_before_the_memory_of_the_machine(tmp_path: Path) -> None:
    limit, used, stat, meminfo = (tmp_path / name for name in ("max", "current", "stat", "meminfo"))
    limit.write_text("1000000\n")
    used.write_text("700000\n")
    stat.write_text("anon 500000\ninactive_file 100000\n")
    assert available._of_cgroup(limit, used, stat) == 400_000
    limit.write_text("max\n")
    assert available._of_cgroup(limit, used, stat) > 1 << 60
    assert available._of_cgroup(tmp_path / "none", used, stat) > 1 << 60
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    2000 kB\n")
    assert available._of_machine(meminfo) == 2_048_000
    assert 0 < available.available_bytes(CPU) < 1 << 50
