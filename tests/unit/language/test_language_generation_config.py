"""The base model's `generation_config.json` has no say in what is written, searched for or sampled."""

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from finetune_api.evaluation import Generation
from finetune_trainer.training.generation.causal import GenerationSettings, Sampling, generate_ids, generate_texts

STORIES = Path(__file__).parents[2] / "models" / "stories260k"
OPINIONS: dict[str, dict[str, Any]] = {
    "penalty": {"repetition_penalty": 1.8},
    "sampling": {"do_sample": True, "temperature": 0.3, "top_k": 3, "top_p": 0.5, "min_p": 0.2},
    "least length": {"min_new_tokens": 25, "min_length": 25},
    "forbidden tokens": {"suppress_tokens": [300, 301, 302], "bad_words_ids": [[365], [263]]},
    "forced tokens": {"forced_eos_token_id": 5, "begin_suppress_tokens": [262, 263]},
    "beams": {"num_beams": 4, "length_penalty": 3.0, "num_return_sequences": 2},
}
ADAPTERS = {
    "none": lambda model: model,
    "LoRA": lambda model: get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])),
    "prompt": lambda model: get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)),
}


def opinionated(**values: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(STORIES)
    model.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0, **values)
    return model


@pytest.fixture
def given(stories: PreTrainedTokenizerBase) -> list[np.ndarray]:
    return [np.asarray(stories(text)["input_ids"], np.int64) for text in ("Once upon a time", "Tom had a red")]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("opinion", OPINIONS)
def test_text_is_searched_for_as_the_job_says(
    stories: PreTrainedTokenizerBase, given: list[np.ndarray], opinion: str, adapter: str
) -> None:
    generation = GenerationSettings(stories, Generation(max_new_tokens=12), [2])
    torch.manual_seed(1)
    model = ADAPTERS[adapter](opinionated(**OPINIONS[opinion]))
    before = model.generation_config.to_dict()
    written = generate_ids(model, given, generation)
    if adapter != "prompt":
        for prompt, ids in zip(given, written, strict=True):
            assert ids.tolist() == most_likely(model, prompt, 12)
    torch.manual_seed(1)
    assert generate_texts(ADAPTERS[adapter](opinionated()), given, generation) == [
        generation.text(ids) for ids in written
    ]
    assert model.generation_config.to_dict() == before


@torch.no_grad()
def most_likely(model: Any, prompt: np.ndarray, most: int) -> list[int]:
    """Greedy search without `generate`."""
    ids = torch.from_numpy(prompt)[None]
    for _ in range(most):
        ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(dim=-1)], dim=1)
        if ids[0, -1] == 2:
            break
    return [int(token) for token in ids[0, len(prompt) :]]


@pytest.mark.parametrize("opinion", OPINIONS)
def test_samples_are_those_of_the_policy(
    stories: PreTrainedTokenizerBase, given: list[np.ndarray], opinion: str
) -> None:
    """On-policy, the mean of -log p of a sampled token is the mean entropy; a penalty pushes it above."""
    model = opinionated(**OPINIONS[opinion]).eval()
    generation = GenerationSettings(stories, Generation(max_new_tokens=12), [2], Sampling(1.0, 1.0))
    torch.manual_seed(5)
    written = generate_ids(model, given * 50, generation)
    surprise, entropy, tokens = 0.0, 0.0, 0
    with torch.no_grad():
        for prompt, ids in zip(given * 50, written, strict=True):
            whole = torch.from_numpy(np.concatenate([prompt, ids]))[None]
            known = model(input_ids=whole).logits[0, len(prompt) - 1 : -1].double().log_softmax(dim=-1)
            surprise -= float(known.gather(1, torch.from_numpy(ids)[:, None]).sum())
            entropy -= float((known.exp() * known).sum())
            tokens += len(ids)
    assert surprise / tokens == pytest.approx(entropy / tokens, abs=0.08)
    assert 0.3 < entropy / tokens < log(512)
