"""Loading of causal and masked language models."""

from typing import TYPE_CHECKING

from finetune_api.failures import ModelUnsuitable
from finetune_api.tasks import MethodType, Task
from finetune_trainer.models.assembly import assemble_merged, load_with_gaps
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.loading import loading
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.suitability import check_mask_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_NO_HEAD = "has no head for masked language modelling; a new one has to be trained with the whole model"


def load_causal(files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32) -> "PreTrainedModel":
    """Load a causal language model, adapters merged.

    Raises:
        ModelUnsuitable: transformers has no such class for this architecture, or weights are missing or broken, the
            output layer's included; or an adapter can't be merged.
        UnsafeModel: the model brings its own code.
    """
    with loading(files.uri, "model"):
        model = assemble_merged(files, Task.CAUSAL_LM, how)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def load_masked(
    files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", method: MethodType, seed: int, how: ModelLoading = FP32
) -> "PreTrainedModel":
    """Load a masked language model, adapters merged; a missing head is initialised from `seed`.

    Raises:
        ModelUnsuitable: as `load_causal`, also where the tokenizer has no mask token, and where the head is new and
            the method would leave the rest as it is.
        UnsafeModel: the model brings its own code.
    """
    import torch

    check_mask_token(tokenizer, files.uri)
    torch.manual_seed(seed)
    with loading(files.uri, "model"):
        if files.base is None:
            model, new = load_with_gaps(files, Task.MASKED_LM, how)
        else:
            model, new = assemble_merged(files, Task.MASKED_LM, how), []
    if new and method not in (MethodType.FULL, MethodType.MERGE):
        hint = "use method Full, or a model that has this head"
        raise ModelUnsuitable(f"{files.uri} {_NO_HEAD}", where="spec.method.type", hint=hint)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model
