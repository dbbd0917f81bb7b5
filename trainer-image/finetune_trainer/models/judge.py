"""The reward model that judges answers while another model learns to write them: the result of another job."""

from dataclasses import replace

from finetune_api.failures import JobFailure, ModelUnsuitable
from finetune_api.model import ModelSource
from finetune_api.policy import Reward
from finetune_api.tasks import Task
from finetune_trainer.models.files import fetch_model
from finetune_trainer.models.tuned import TunedModel, load_tuned
from finetune_trainer.storage import Site

_WHERE = "spec.training.policy.reward.uri"


def load_judge(reward: Reward, site: Site) -> TunedModel:
    """Load the reward model that a job names, which has a `uri`.

    Raises the failures of `fetch_model` and `load_tuned`, at the field that names it, and `ModelUnsuitable` for a
    model of another task.
    """
    source = ModelSource(uri=reward.uri or "", secret_ref=reward.secret_ref)
    try:
        judge = load_tuned(fetch_model(source, site))
    except JobFailure as failure:
        raise type(failure)(*(replace(problem, where=_WHERE) for problem in failure.problems)) from failure
    if judge.settings.task is not Task.REWARD_MODEL:
        message = f"{source.uri} is a model of task {judge.settings.task}, which gives no rewards"
        raise ModelUnsuitable(message, where=_WHERE, hint="name the output of a job of task RewardModel")
    judge.model.requires_grad_(requires_grad=False)
    return judge
