"""Reward models: built for training, and loaded as the result of another job for `PolicyOptimization`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from finetune_api.failures import JobFailure, ModelUnsuitable
from finetune_api.inference import InferenceSettings
from finetune_api.model import ModelSource
from finetune_api.policy import Reward
from finetune_api.tasks import Task
from finetune_trainer.models.assembly import assemble_merged, load_with_gaps
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.loading import loading
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.module_names import output_size, renew_output_layer, silence_output_layer
from finetune_trainer.models.tuned import TunedModel, load_tuned, read_settings
from finetune_trainer.models.without_dropout import without_dropout
from finetune_trainer.storage import Site

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_WHERE = "spec.training.policy.reward.uri"


def load_policy_reward_model(reward: Reward, site: Site) -> TunedModel:
    """Load the reward model of `spec.training.policy`, which has a `uri`.

    Raises the failures of `fetch_model` and `load_tuned`, at the field that names it, and `ModelUnsuitable` for a
    model of another task.
    """
    judge = _judge(reward, site, on_meta=False)
    judge.model.requires_grad_(requires_grad=False)
    return judge


def check_policy_reward_model(reward: Reward, site: Site) -> None:
    """Check such a reward model without its weights. Raises as `load_policy_reward_model` does."""
    _judge(reward, site, on_meta=True)


def _judge(reward: Reward, site: Site, *, on_meta: bool) -> TunedModel:
    with _told_of_the_judge():
        source = ModelSource(uri=reward.uri or "", secret_ref=reward.secret_ref)
        files = fetch_model(source, site, weights=not on_meta)
        _check_task(read_settings(files.folder, files.uri), reward)
        return load_tuned(files, on_meta=on_meta)


def _check_task(settings: InferenceSettings, reward: Reward) -> None:
    if settings.task is not Task.REWARD_MODEL:
        message = f"{reward.uri} is a model of task {settings.task}, which gives no rewards"
        raise ModelUnsuitable(message, hint="name a job of task RewardModel, or its output")


@contextmanager
def _told_of_the_judge() -> Iterator[None]:
    """Point failures inside the block at the reward model instead of the base model."""
    try:
        yield
    except JobFailure as failure:
        raise type(failure)(*(replace(problem, where=_WHERE) for problem in failure.problems)) from failure


def load_reward_model(
    files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", seed: int, how: ModelLoading = FP32
) -> "PreTrainedModel":
    """Load the model with one output and without dropout, adapters merged.

    An output layer for one score is kept. A new one gives 0 for everything: whatever it then tells was learned, and
    the base model has no opinion.

    Raises:
        ModelUnsuitable: transformers has no sequence classification for this architecture, or the weights are broken,
            incomplete or of another shape than the config says; or an adapter can't be merged.
        UnsafeModel: the model brings its own code.
    """
    import torch

    torch.manual_seed(seed)
    with loading(files.uri, "model"):
        if files.base is None:
            model, new = load_with_gaps(files, Task.REWARD_MODEL, how, num_labels=1, problem_type="regression")
        else:
            model, new = assemble_merged(files, Task.REWARD_MODEL, how), []
    if output_size(model) != 1:
        renew_output_layer(model, 1)
        new = ["the output layer"]
    if new:
        silence_output_layer(model)
    model.config.update({"num_labels": 1, "problem_type": "regression"})
    model.config.pad_token_id = tokenizer.pad_token_id
    return without_dropout(model)
