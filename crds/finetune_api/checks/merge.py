"""What a job that merges results has no use for: it trains nothing."""

from collections.abc import Iterator

from finetune_api.evaluation import Evaluation
from finetune_api.failures import Problem
from finetune_api.output import Checkpoints
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_api.training import Training

_USED = frozenset({"seed", "precision", "policy", "preference"})
"""What draws, computes, or says how answers are judged."""
_WHY = "Merge trains nothing and has no use for this"


def merge_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each setting of training in a job that merges, and for sources that are named twice."""
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
    if spec.checkpoints != Checkpoints():
        yield Problem(_WHY, "spec.checkpoints", "remove it: a merge that is stopped begins again")
    for name in ("metric", "every_steps"):
        field = Evaluation.model_fields[name]
        if getattr(spec.evaluation, name) != field.default:
            hint = "remove it; all metrics are measured on the test rows, and gates may name any"
            yield Problem(_WHY, f"spec.evaluation.{field.alias}", hint)
    uris = [source.uri.rstrip("/").removesuffix("/model") for source in merge.sources]
    for index, uri in enumerate(uris):
        if uri in uris[:index]:
            hint = "name each once; weight says how much of it is taken"
            yield Problem(f"{uri} is named twice", f"spec.method.merge.sources[{index}].uri", hint)
