"""Loading of `AutoModelForSeq2SeqLM`, and its generation config."""

from typing import TYPE_CHECKING, Any

from finetune_api.evaluation import Generation
from finetune_api.tasks import Task
from finetune_trainer.models.assembly import assemble_merged
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.loading import loading
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.suitability import decoder_start, no_decoder_start

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_TOKENS = ("decoder_start_token_id", "eos_token_id", "bos_token_id", "forced_bos_token_id", "forced_eos_token_id")


def load_text_to_text(
    files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", generation: Generation, how: ModelLoading = FP32
) -> "PreTrainedModel":
    """Load the model, adapters merged; its default generation config is that of `generation`.

    Raises:
        ModelUnsuitable: transformers has no such class for this architecture, weights are missing or broken, or the
            model does not say how its decoder starts; or an adapter can't be merged.
        UnsafeModel: the model brings its own code.
    """
    with loading(files.uri, "model"):
        model = assemble_merged(files, Task.SEQ2SEQ, how)
    start = decoder_start(model.config, vars(model.generation_config))
    if start is None:
        raise no_decoder_start(files.uri)
    model.config.decoder_start_token_id = start
    model.config.pad_token_id = tokenizer.pad_token_id
    set_generation_config(model, tokenizer, generation)
    return model


def set_generation_config(model: Any, tokenizer: "PreTrainedTokenizerBase", generation: Generation) -> None:
    """Set the generation config of a model, or of the one below an adapter, to that of `generation`."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.generation_config = _writing(base, tokenizer, generation)


def _writing(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", generation: Generation
) -> "GenerationConfig":
    """Generation config: the job's settings, and of the model's own only special tokens.

    Its other defaults are for the task that it was made for: a summariser's least length, say.
    """
    from transformers import GenerationConfig

    tokens = {name: getattr(model.generation_config, name, None) for name in _TOKENS}
    if tokens["decoder_start_token_id"] is None:
        tokens["decoder_start_token_id"] = model.config.decoder_start_token_id
    if tokens["eos_token_id"] is None:
        tokens["eos_token_id"] = tokenizer.eos_token_id or tokenizer.sep_token_id
    beams = {"early_stopping": generation.early_stopping} if generation.num_beams > 1 else {}
    return GenerationConfig(
        **tokens,
        **beams,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=min(generation.max_new_tokens, _positions(model.config) - 1),
        num_beams=generation.num_beams,
        no_repeat_ngram_size=generation.no_repeat_ngram_size,
        do_sample=False,
    )


def _positions(config: "PretrainedConfig") -> int:
    """Maximum decoder length in tokens; unlimited for relative positions."""
    text = config.get_text_config(decoder=True)
    return int(getattr(text, "max_position_embeddings", None) or 1 << 30)
