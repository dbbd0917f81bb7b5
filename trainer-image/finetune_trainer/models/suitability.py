"""Whether a model supports a task, by config.json and tokenizer alone, before weights or rows are read."""

import json
from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable
from finetune_api.tasks import BUILT, Task
from finetune_trainer.models.auto_classes import has_class
from finetune_trainer.models.files import ModelFiles

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_WHERE = "spec.model.uri"
_KIND_FOR = {
    Task.SEQUENCE_CLASSIFICATION: "an encoder such as BERT",
    Task.TOKEN_CLASSIFICATION: "an encoder such as BERT",
    Task.MASKED_LM: "an encoder such as BERT",
    Task.SEQ2SEQ: "an encoder with a decoder, such as T5 or BART",
    Task.CAUSAL_LM: "a decoder such as Qwen or Llama",
    Task.PREFERENCE: "a decoder such as Qwen or Llama",
    Task.POLICY_OPTIMIZATION: "a decoder such as Qwen or Llama",
    Task.REWARD_MODEL: "a decoder such as Qwen or Llama, or an encoder such as BERT",
}
"""The kind of model that a task is for."""
_DOES = {
    Task.SEQ2SEQ: "writes a text for a text",
    Task.CAUSAL_LM: "continues texts",
    Task.MASKED_LM: "reads texts, and writes none",
}
"""What the kinds of models do, by the task that they were pretrained with."""
_FURTHER = (Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION)


def check_architecture(config: Any, task: Task, uri: str) -> None:
    """Check that transformers has a class for task and architecture, and that it was made for it.

    Raises `ModelUnsuitable` for weights that are quantized already; else it names the tasks that the model can do, and
    the kind of model that the task needs.
    """
    if getattr(config, "quantization_config", None):
        message = f"{uri} is quantized already, and what was rounded so can't be merged or exported as it was"
        raise ModelUnsuitable(message, where=_WHERE, hint="name the model that it was made from; QLoRA quantizes it")
    if not has_class(config, task):
        raise ModelUnsuitable(_cannot(config, task, uri), where=_WHERE, hint=_instead(config, task))
    if has_class(config, Task.CAUSAL_LM) and task in _DECODERS and _is_bidirectional(config):
        message = f"{uri}: {_named(config)} sees the words that it would have to predict"
        raise ModelUnsuitable(message, where=_WHERE, hint=_instead(config, task))


_DECODERS = frozenset({Task.CAUSAL_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})


def _is_bidirectional(config: Any) -> bool:
    """Whether the model is an encoder, which transformers may also load as a decoder by its config.

    XLNet, XLM and the encoder-decoders have masked and causal classes too; they are told apart by `is_decoder`.
    """
    is_encoder = has_class(config, Task.MASKED_LM) and not has_class(config, Task.SEQ2SEQ)
    return is_encoder and getattr(config, "is_decoder", None) is False


def _cannot(config: Any, task: Task, uri: str) -> str:
    does = _pretrained_for(config)
    what = f"{_named(config)} {_DOES[does]}" if does else f"{_named(config)} is of no kind that {task} can use"
    return f"{uri}: {what}; transformers has no {task} of it" if does else f"{uri}: {what}"


def _instead(config: Any, task: Task) -> str:
    does = _pretrained_for(config)
    fitting = [*(_FURTHER if does is Task.MASKED_LM else ()), *([does] if does else [])]
    tasks = [str(kind) for kind in fitting if kind is not task and kind in BUILT and has_class(config, kind)]
    use = " or ".join(filter(None, [", ".join(tasks[:-1]), *tasks[-1:]]))
    return f"{f'use task {use}; ' if use else ''}{task} takes {_KIND_FOR[task]}"


def _pretrained_for(config: Any) -> Task | None:
    """Pretraining task of an architecture; None for other than text models."""
    if getattr(config, "is_encoder_decoder", False) and has_class(config, Task.SEQ2SEQ):
        return Task.SEQ2SEQ
    if has_class(config, Task.MASKED_LM) and getattr(config, "is_decoder", None) is not True:
        return Task.MASKED_LM
    return Task.CAUSAL_LM if has_class(config, Task.CAUSAL_LM) else None


def _named(config: Any) -> str:
    names = getattr(config, "architectures", None) or []
    return f"a {config.model_type} model" + (f" ({names[0]})" if names else "")


def check_mask_token(tokenizer: "PreTrainedTokenizerBase", uri: str) -> None:
    """Raise `ModelUnsuitable` for a tokenizer without a mask token."""
    if tokenizer.mask_token_id is None:
        message, hint = f"{uri}: the tokenizer has no mask token", "use an encoder such as BERT, or task CausalLM"
        raise ModelUnsuitable(message, where=_WHERE, hint=hint)


def check_decoder_start(files: ModelFiles, config: Any) -> None:
    """Raise `ModelUnsuitable` for a text-to-text model without a decoder start token."""
    if decoder_start(config, _generation_settings(files)) is None:
        raise no_decoder_start(files.uri)


def no_decoder_start(uri: str) -> ModelUnsuitable:
    """The failure of a text-to-text model without a decoder start token."""
    hint = "set decoder_start_token_id in its config.json (T5: that of the padding, BART: that of the end of text)"
    return ModelUnsuitable(f"{uri} does not say which token its decoder starts with", where=_WHERE, hint=hint)


def decoder_start(config: Any, generation: dict[str, Any]) -> int | None:
    """Decoder start token; the generation config takes precedence over the config."""
    start = generation.get("decoder_start_token_id")
    return getattr(config, "decoder_start_token_id", None) if start is None else start


def _generation_settings(files: ModelFiles) -> dict[str, Any]:
    folder = files.folder
    try:
        found = json.loads((folder / "generation_config.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
