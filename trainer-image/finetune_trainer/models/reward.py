"""Builds reward models: a body with one output, which scores a prompt with its answer."""

from typing import TYPE_CHECKING

from finetune_api.tasks import Task
from finetune_trainer.models.assembly import assemble_merged, load_with_gaps
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.loading import loading
from finetune_trainer.models.module_names import output_size, renew_output_layer, silence_output_layer
from finetune_trainer.models.without_dropout import without_dropout

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_reward_model(files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", seed: int) -> "PreTrainedModel":
    """Load the model in FP32 without its dropout, adapters merged.

    An output layer for one score is kept. A new one gives 0 for everything: whatever it then tells was learned, and
    the untouched model has no opinion.

    Raises:
        ModelUnsuitable: transformers has no sequence classification for this architecture, or the weights are broken,
            incomplete or of another shape than the config says; or an adapter can't be merged.
        UnsafeModel: the model brings its own code.
    """
    import torch

    torch.manual_seed(seed)
    with loading(files.uri, "model"):
        if files.base is None:
            model, new = load_with_gaps(files, Task.REWARD_MODEL, num_labels=1, problem_type="regression")
        else:
            model, new = assemble_merged(files, Task.REWARD_MODEL), []
    if output_size(model) != 1:
        renew_output_layer(model, 1)
        new = ["the output layer"]
    if new:
        silence_output_layer(model)
    model.config.update({"num_labels": 1, "problem_type": "regression"})
    model.config.pad_token_id = tokenizer.pad_token_id
    return without_dropout(model)
