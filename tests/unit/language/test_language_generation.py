"""What causal models write: the same alone and in a batch, and no further than their end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from finetune_api.evaluation import Generation
from finetune_trainer.data.tokenising.special_tokens import special_tokens_of
from finetune_trainer.observer import Monitor
from finetune_trainer.training.generation.batches import GenerationProgress
from finetune_trainer.training.generation.causal import GenerationSettings, generate_texts, last_prompt

STORIES = Path(__file__).parents[2] / "models" / "stories260k"


def prompts(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[np.ndarray]:
    return [np.asarray(tokenizer(text)["input_ids"], np.int64) for text in texts]


def test_a_pretrained_model_tells_its_story(stories: PreTrainedTokenizerBase) -> None:
    model = AutoModelForCausalLM.from_pretrained(STORIES).train()
    generation = GenerationSettings(stories, Generation(max_new_tokens=30), [2])
    (text,) = generate_texts(model, prompts(["Once upon a time"], stories), generation)
    assert text.startswith(", there was a little girl named Lily. She loved to play outside")
    assert model.training


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("beams", [1, 3])
def test_padding_does_not_change_what_is_written(
    with_head: Callable[[str], Path], sentences: list[str], kind: str, beams: int
) -> None:
    folder = with_head(kind)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    given = prompts([sentences[0], "The", "Our invoice broke", sentences[7]], tokenizer)
    generation = GenerationSettings(tokenizer, Generation(max_new_tokens=12, num_beams=beams), [tokenizer.eos_token_id])
    done: list[int] = []
    together = generate_texts(model, given, generation, Monitor(done.append))
    assert together == [generate_texts(model, [one], generation)[0] for one in given]
    assert sum(done) == len(given)


def test_writing_ends_at_any_of_the_stops(stories: PreTrainedTokenizerBase) -> None:
    model = AutoModelForCausalLM.from_pretrained(STORIES)
    (comma,) = stories(",", add_special_tokens=False)["input_ids"][-1:]
    generation = GenerationSettings(stories, Generation(max_new_tokens=30), [2, comma])
    assert generate_texts(model, prompts(["Once upon a time"], stories), generation) == [","]


def test_writing_never_goes_beyond_the_positions_of_the_model(with_head: Callable[[str], Path]) -> None:
    folder = with_head("gpt2")  # 64 absolute positions
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    long = np.arange(20, 80)
    (text,) = generate_texts(model, [long], GenerationSettings(tokenizer, Generation(max_new_tokens=50), []))
    assert len(tokenizer(text)["input_ids"]) <= 8


def test_the_prompt_is_what_stands_in_front_of_the_last_answer() -> None:
    ids, labels = np.arange(10), np.array([-100, -100, 2, 3, -100, -100, 6, 7, -100, -100])
    assert last_prompt(ids, labels).tolist() == [0, 1, 2, 3, 4, 5]
    assert last_prompt(ids[:5], labels[:5]).tolist() == [0, 1]
    assert last_prompt(ids, np.full(10, -100)).tolist() == ids.tolist()


def test_the_frame_of_a_decoder_is_what_it_puts_in_front(stories: PreTrainedTokenizerBase) -> None:
    assert special_tokens_of(stories).opening == (1,)
    assert special_tokens_of(stories).closing == ()


def test_progress_is_reported_within_a_batch(stories: PreTrainedTokenizerBase) -> None:
    """Eight texts go through the model at once; what is done grows with their tokens, to the last row."""
    model = AutoModelForCausalLM.from_pretrained(STORIES)
    done: list[int] = []
    given = prompts(["Once upon a time"] * 8, stories)
    generate_texts(model, given, GenerationSettings(stories, Generation(max_new_tokens=20), []), Monitor(done.append))
    assert sum(done) == 8
    assert len(done) >= 4
    assert min(done) > 0


def test_texts_that_end_early_count_as_done() -> None:
    reported: list[int] = []
    progress = GenerationProgress(Monitor(reported.append), rows=3, most=100)
    assert progress(torch.zeros(3, 5), None).tolist() == [False] * 3
    assert reported == []
    progress.finish()
    progress.finish()
    assert reported == [3]
