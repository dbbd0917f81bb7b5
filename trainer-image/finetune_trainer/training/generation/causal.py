"""Text generation with causal models: greedy, beam search or sampling, by the settings of the job alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_api.evaluation import Generation
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.special_tokens import end_of_text
from finetune_trainer.data.tokenising.stop_tokens import answer_ends
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.memory.token_budget import generation_tokens, inference_tokens
from finetune_trainer.observer import Monitor
from finetune_trainer.training.fitting import over_fitting_parts
from finetune_trainer.training.generation.batches import GenerationProgress

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sampling:
    """Temperature and nucleus (top-p) sampling, by torch's default generator."""

    temperature: float
    top_p: float


@dataclass(frozen=True)
class GenerationSettings:
    """Generation settings of a job for one tokenizer."""

    tokenizer: "PreTrainedTokenizerBase"
    settings: Generation
    stops: Sequence[int]
    """Ids that end a text."""
    sampling: Sampling | None = None
    """Sampling parameters for rollouts; None means greedy or beam search."""

    def config(self, room: int) -> "GenerationConfig":
        """The generation config of the job alone (see `override_generation_config`), within `room` new tokens."""
        from transformers import GenerationConfig

        return GenerationConfig(
            **(self._search() if self.sampling is None else self._draw(self.sampling)),
            max_new_tokens=max(1, min(self.settings.max_new_tokens, room)),
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=list(self.stops) or None,
        )

    def _search(self) -> dict[str, Any]:
        settings = self.settings
        beams = {"early_stopping": settings.early_stopping} if settings.num_beams > 1 else {}
        repeats = {"no_repeat_ngram_size": settings.no_repeat_ngram_size}
        return {"do_sample": False, "num_beams": settings.num_beams, **repeats, **beams}

    def _draw(self, sampling: Sampling) -> dict[str, Any]:
        return {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}

    def text(self, ids: NDArray[np.int64]) -> str:
        """Decoded text without special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def stop_ids(model: nn.Module, tokenizer: "PreTrainedTokenizerBase", form: PromptFormat | None) -> list[int]:
    """Ids that end a text: the tokenizer's and the model's ends of text, and what a chat template puts behind answers.

    `form` is None for raw text.
    """
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    known = own if isinstance(own, list) else [] if own is None else [own]
    return list(dict.fromkeys([*end_of_text(tokenizer), *known, *answer_ends(form, tokenizer)]))


def last_prompt(ids: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids before the last labelled stretch of a row; ids and labels [length]."""
    counted = np.flatnonzero(labels != IGNORE_INDEX)
    if not len(counted):
        return ids
    gaps = np.flatnonzero(np.diff(counted) > 1)
    return ids[: counted[gaps[-1] + 1] if len(gaps) else counted[0]]


def generate_texts(
    model: nn.Module,
    prompts: Sequence[NDArray[np.int64]],
    generation: GenerationSettings,
    monitor: Monitor | None = None,
) -> list[str]:
    """Generated text for each prompt, decoded without special tokens; see `generate_ids`."""
    return [generation.text(ids) for ids in generate_ids(model, prompts, generation, monitor)]


def generate_ids(
    model: nn.Module,
    prompts: Sequence[NDArray[np.int64]],
    generation: GenerationSettings,
    monitor: Monitor | None = None,
) -> list[NDArray[np.int64]]:
    """Generated ids per prompt (ids, [length]), the stop token included.

    Batched by length, with room for the key-value cache, and padded on the left; a batch that does not fit into memory
    is halved. The model is left in the mode that it was in. Raises `KeyboardInterrupt` after a token where `monitor` is
    asked to stop, and `OutOfMemory` for a prompt that does not fit alone.
    """
    lengths = np.asarray([len(prompt) for prompt in prompts], np.int64)
    found, monitor = dict[int, NDArray[np.int64]](), monitor or Monitor()
    budget = _prompt_tokens(model, lengths, generation)

    def write(part: Rows) -> list[NDArray[np.int64]]:
        return _write(model, [prompts[row] for row in part], generation, monitor)

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for part, written in over_fitting_parts("generation", lengths, budget, monitor.limit, write):
                found |= zip(part.tolist(), written, strict=True)
    finally:
        model.train(was_training)
    return [found[row] for row in range(len(prompts))]


def _prompt_tokens(model: nn.Module, lengths: NDArray[np.int64], generation: GenerationSettings) -> int:
    """Most tokens of the prompts of a batch, for which the cache of prompts and answers fits."""
    device, longest = next(model.parameters()).device, max(1, int(lengths.max(initial=1)))
    whole = longest + generation.settings.max_new_tokens
    beams = 1 if generation.sampling is not None else generation.settings.num_beams
    rows = max(1, generation_tokens(model, device, whole, beams) // whole)
    return min(inference_tokens(model, device, longest), rows * longest)


def _write(
    model: Any, prompts: Sequence[NDArray[np.int64]], generation: GenerationSettings, monitor: Monitor
) -> list[NDArray[np.int64]]:
    from transformers import StoppingCriteriaList

    device = next(model.parameters()).device
    most = generation.settings.max_new_tokens
    progress = GenerationProgress(monitor, len(prompts), most)
    width = max(map(len, prompts))
    ids, mask = _padded_left(prompts, width, int(generation.tokenizer.pad_token_id))
    with override_generation_config(model, generation.config(positions(model.config) - width)) as config:
        written = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([progress]),
        )
    progress.finish()
    return [_ended(row, generation.stops) for row in written[:, width:].cpu().numpy()]


@contextmanager
def override_generation_config(model: Any, config: "GenerationConfig") -> Iterator["GenerationConfig"]:
    """Make `config` the model's own generation config inside the block.

    `generate` fills what a given config leaves unset from the model's own: a repetition penalty of the base's
    `generation_config.json` would change greedy text, and sampled tokens would no longer be those of the policy.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = base.generation_config
    base.generation_config = config
    try:
        yield config
    finally:
        base.generation_config = own


def _ended(ids: NDArray[np.int64], stops: Sequence[int]) -> NDArray[np.int64]:
    """The ids up to the first stop token; the rest is padding."""
    ends = np.flatnonzero(np.isin(ids, stops))
    return ids[: ends[0] + 1] if len(ends) else ids


def _padded_left(prompts: Sequence[NDArray[np.int64]], width: int, pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, [rows, width]."""
    ids, mask = np.full((len(prompts), width), pad_id, np.int64), np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def positions(config: "PretrainedConfig") -> int:
    """Maximum number of positions of the model."""
    text = config.get_text_config(decoder=True)
    return int(getattr(text, "max_position_embeddings", None) or 1 << 30)
