"""Checks of merge jobs: settings without effect, since nothing is trained."""

from collections.abc import Iterator

from finetune_api.data import RowOrder
from finetune_api.evaluation import Evaluation
from finetune_api.failures import Problem
from finetune_api.output import Checkpoints
from finetune_api.policy import Policy
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_api.training import Training

_USED = frozenset({"seed", "precision", "policy", "preference"})
"""What draws, computes, or says how answers are judged."""
_OF_ROLLOUTS = ("num_generations", "temperature", "top_p", "clip_range", "num_iterations")
_WHY = "Merge trains nothing and has no use for this"


def merge_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each training setting of a merge job, and for duplicate sources."""
    merge = spec.method.merge
    if spec.method.type is not MethodType.MERGE or merge is None:
        return
    for name, field in Training.model_fields.items():
        if name not in _USED and getattr(spec.training, name) != getattr(Training(), name):
            yield Problem(
                _WHY,
                f"spec.training.{field.alias}",
                "remove it; of training, seed, precision, preference and policy are used",
            )
    yield from _rows(spec)
    yield from _rollouts(spec.training.policy)
    if spec.checkpoints != Checkpoints():
        yield Problem(_WHY, "spec.checkpoints", "remove it: a merge that is stopped begins again")
    for name in ("metric", "eval_steps"):
        field = Evaluation.model_fields[name]
        if getattr(spec.evaluation, name) != field.default:
            hint = "remove it; all metrics are measured on the test rows, and gates may name any"
            yield Problem(_WHY, f"spec.evaluation.{field.alias}", hint)
    uris = [source.uri.rstrip("/").removesuffix("/model") for source in merge.sources]
    for index, uri in enumerate(uris):
        if uri in uris[:index]:
            hint = "name each once; weight says how much of it is taken"
            yield Problem(f"{uri} is named twice", f"spec.method.merge.sources[{index}].uri", hint)


def _rows(spec: Spec) -> Iterator[Problem]:
    """Data settings without effect: rows are only evaluated, never drawn or ordered for training."""
    data = spec.data
    given = {
        "validation": bool(data.validation),
        "order": data.order is not RowOrder.SHUFFLED,
        "maxRows": bool(data.max_rows),
    }
    for field, is_given in given.items():
        if is_given:
            yield Problem(_WHY, f"spec.data.{field}", "remove it: a merged model is measured on test rows")
    for index, source in enumerate(data.train):
        if source.weight is not None:
            yield Problem(
                _WHY, f"spec.data.train[{index}].weight", "remove it: a merged model is measured on test rows"
            )


def _rollouts(policy: Policy | None) -> Iterator[Problem]:
    """Policy settings without effect: no answers are sampled, but rewards and metrics are used."""
    for name in _OF_ROLLOUTS if policy is not None else ():
        field = Policy.model_fields[name]
        if getattr(policy, name) != field.default:
            yield Problem(
                _WHY, f"spec.training.policy.{field.alias}", "remove it: no answers are sampled to learn from"
            )
