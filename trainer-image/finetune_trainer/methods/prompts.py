"""`PromptTuning`, `PTuning` and `PrefixTuning`: virtual tokens before the input of a frozen model, by PEFT."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import PrefixTuning, PromptTuning, PTuning
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.methods.peft_adapter import adapted_by, task_type
from finetune_trainer.models.last_token import show_last_token
from finetune_trainer.models.module_names import head_modules, nonzero_linears

if TYPE_CHECKING:
    from peft import PromptLearningConfig
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_HINT = "use LoRA or BottleneckAdapter with this model"
_INPUT_ONLY = 1  # PEFT would make embeddings for a decoder too, and never use them
_HEAD_RATE = 0.1
_PREFIX_SCALE = 0.1  # of a prefix's first values; PEFT's own, 1, drowns what the text says


def adapt_prompt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, prepend learned embeddings to its input, and train them and the head.

    They start from the embeddings of `initText`, else from those of random tokens. Raises `ModelUnsuitable` for
    models that can't take embeddings; so do the next two.
    """
    from peft import PromptTuningConfig

    settings = method.prompt_tuning or PromptTuning()
    start = _embeddings(model, files, settings).detach().clone()
    config = PromptTuningConfig(
        num_virtual_tokens=settings.num_virtual_tokens, num_transformer_submodules=_INPUT_ONLY, **_shape(model)
    )
    adapted = _adapted(config, model, files)
    with torch.no_grad():
        _encoder(adapted.model).embedding.weight.copy_(start)
    return adapted


def adapt_p_tuning(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """The same with embeddings from a small network; its last output is what is saved."""
    from peft import PromptEncoderConfig

    settings = method.p_tuning or PTuning()
    config = PromptEncoderConfig(
        num_virtual_tokens=settings.num_virtual_tokens,
        num_transformer_submodules=_INPUT_ONLY,
        encoder_hidden_size=settings.encoder_hidden_size,
        **_shape(model),
    )
    return _adapted(config, model, files, head_rate=1)


def adapt_prefix(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, prepend learned keys and values in every layer, and train them and the head."""
    from peft import PrefixTuningConfig

    settings = method.prefix_tuning or PrefixTuning()
    shape = _shape(model, width=_width_of_keys(model))
    config = PrefixTuningConfig(
        num_virtual_tokens=settings.num_virtual_tokens,
        prefix_projection=settings.projection,
        encoder_hidden_size=shape["token_dim"],
        **shape,
    )
    adapted = _adapted(config, model, files)
    if not settings.projection:
        with torch.no_grad():
            _encoder(adapted.model).embedding.weight.mul_(_PREFIX_SCALE)
    return adapted


def _adapted(
    config: "PromptLearningConfig", model: "PreTrainedModel", files: "ModelFiles", head_rate: float = _HEAD_RATE
) -> Adapted:
    adapted = adapted_by(config, model, files, merges=False, head_rate=head_rate)
    show_last_token(model)
    _check_heeded(adapted.model, model)
    return adapted


def _shape(model: "PreTrainedModel", width: int = 0) -> dict[str, Any]:
    """Settings that PEFT infers from a config, wrongly for some architectures."""
    config = model.config.get_text_config()
    embeddings = cast("nn.Embedding", model.get_input_embeddings())
    return {
        "task_type": task_type(model),
        "modules_to_save": head_modules(model),
        "token_dim": width or embeddings.embedding_dim,
        "num_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
    }


def _embeddings(model: "PreTrainedModel", files: "ModelFiles", settings: PromptTuning) -> Tensor:
    """Initial prompt embeddings, [virtual tokens, width]; a text too short is repeated."""
    from transformers import AutoTokenizer

    table = cast("nn.Embedding", model.get_input_embeddings())
    if not settings.init_text:
        return table.weight[torch.randint(table.num_embeddings, (settings.num_virtual_tokens,)).to(table.weight.device)]
    tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False)
    ids = tokenizer(settings.init_text, add_special_tokens=False)["input_ids"]
    if not ids:
        message = f"the tokenizer makes no token of {settings.init_text[:40]!r}"
        raise ModelUnsuitable(message, where="spec.method.promptTuning.initText", hint="use words, or leave it out")
    repeated = (ids * settings.num_virtual_tokens)[: settings.num_virtual_tokens]
    return table.weight[torch.tensor(repeated, device=table.weight.device)]


def _width_of_keys(model: "PreTrainedModel") -> int:
    """Total width of the keys of all heads, which in T5 differs from the hidden size."""
    config = model.config.get_text_config()
    a_head = getattr(config, "d_kv", None)
    return int(a_head * config.num_attention_heads if a_head else config.hidden_size)


def _encoder(model: nn.Module) -> Any:
    return cast("Any", model).prompt_encoder["default"]


@torch.no_grad()
def _check_heeded(adapted: nn.Module, model: "PreTrainedModel") -> None:
    """Check that virtual tokens change the logits: not all architectures use them."""
    ids = torch.ones((1, 2), dtype=torch.long, device=model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    adapted.eval()
    try:
        with nonzero_linears(adapted):
            first = adapted(**inputs).logits
            weights = [weight for weight in _encoder(adapted).parameters() if weight.ndim > 1]
            for weight in weights:
                weight.neg_()  # not a factor alone: a norm behind the embeddings takes that out again
            second = adapted(**inputs).logits
            for weight in weights:
                weight.neg_()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _refused(model, f"can't take virtual tokens ({' '.join(str(error).split())[:200]})") from error
    if torch.equal(first, second):
        raise _refused(model, "pays no attention to virtual tokens")


def _refused(model: "PreTrainedModel", why: str) -> ModelUnsuitable:
    return ModelUnsuitable(f"a {model.config.model_type} model {why}", where="spec.method.type", hint=_HINT)
