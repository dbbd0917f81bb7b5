"""The reward model that judges answers while another model learns to write them: the result of another job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from finetune_api.failures import JobFailure, ModelUnsuitable
from finetune_api.inference import InferenceSettings
from finetune_api.model import ModelSource
from finetune_api.policy import Reward
from finetune_api.tasks import Task
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.tuned import TunedModel, load_tuned, read_settings
from finetune_trainer.storage import Site

_WHERE = "spec.training.policy.reward.uri"


def load_policy_reward_model(reward: Reward, site: Site) -> TunedModel:
    """Load the reward model that a job names, which has a `uri`.

    Raises the failures of `fetch_model` and `load_tuned`, at the field that names it, and `ModelUnsuitable` for a
    model of another task.
    """
    with _told_of_the_judge():
        judge = load_tuned(_files(reward, site))
        _check_task(judge.settings, reward)
    judge.model.requires_grad_(requires_grad=False)
    return judge


def check_policy_reward_model(reward: Reward, site: Site) -> None:
    """Make sure, without its weights, that there is such a reward model. Raises as `load_policy_reward_model` does."""
    with _told_of_the_judge():
        files = _files(reward, site, weights=False)
        _check_task(read_settings(files.folder, files.uri), reward)


def _files(reward: Reward, site: Site, *, weights: bool = True) -> ModelFiles:
    return fetch_model(ModelSource(uri=reward.uri or "", secret_ref=reward.secret_ref), site, weights=weights)


def _check_task(settings: InferenceSettings, reward: Reward) -> None:
    if settings.task is not Task.REWARD_MODEL:
        message = f"{reward.uri} is a model of task {settings.task}, which gives no rewards"
        raise ModelUnsuitable(message, hint="name a job of task RewardModel, or its output")


@contextmanager
def _told_of_the_judge() -> Iterator[None]:
    """Let failures inside the block point at the reward model, not at the base model."""
    try:
        yield
    except JobFailure as failure:
        raise type(failure)(*(replace(problem, where=_WHERE) for problem in failure.problems)) from failure
