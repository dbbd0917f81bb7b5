"""Check of model and method on the meta device, without weights.

By the code of a run, on the meta device. Methods that try what a model does get small values in the weights' place.
"""

from dataclasses import replace

import torch

from finetune_api.resolved import Resolved
from finetune_api.tasks import MethodType
from finetune_trainer.methods import Adapted
from finetune_trainer.models.low_rank_sum import can_be_summed
from finetune_trainer.models.meta_model import give_values, has_weights
from finetune_trainer.models.module_names import is_in_body
from finetune_trainer.models.sources import Source, check_base
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import SampledTokens
from finetune_trainer.stages.merging import check_like
from finetune_trainer.stages.packing import check_packing
from finetune_trainer.stages.preparing import apply_method, load_model, loading_of
from finetune_trainer.tasks.retention import check_retention
from finetune_trainer.tasks.task import Task

_TRIES_THE_MODEL = frozenset({MethodType.PREFIX_TUNING, MethodType.PROMPT_TUNING, MethodType.P_TUNING})
"""Methods that look whether virtual tokens change what a model says."""


def check_model(sampled: SampledTokens, base: BaseModel, resolved: Resolved, sources: list[Source]) -> None:
    """Build the model as a run does, without weights, and apply the method to it.

    `sources` are the results that the job merges. Raises what `prepare_model`, `with_evaluation_rows` and `Merging`
    raise of a model that does not suit; what is wrong with values of weights is not seen.
    """
    task = sampled.task
    adapted = adapted_without_weights(task, base)
    if adapted.check_rows is not None:
        for tokens in sampled.tokens.values():
            adapted.check_rows(tokens, sampled.every)
    check_retention(task, base.files, base.tokenizer, adapted, resolved.max_length)
    if sources:
        _check_sources(task, base, sources)


def adapted_without_weights(task: Task, base: BaseModel, compute_dtype: torch.dtype = torch.float32) -> Adapted:
    """The model with its method applied, on the meta device but for what the method tries.

    Quantized modules compute in `compute_dtype`. Raises as `load_model` and `apply_method` do.
    """
    spec = task.spec
    how = replace(loading_of(spec), on_meta=True, compute_dtype=compute_dtype)
    model = load_model(task, base.files, base.tokenizer, how)
    check_packing(spec, model)
    if spec.method.type in _TRIES_THE_MODEL:
        give_values(model)
    elif spec.method.type is MethodType.FEATURE_EXTRACTION:
        give_values(model, lambda name: not is_in_body(model, name))
    return apply_method(spec, model, base.files)


def _check_sources(task: Task, base: BaseModel, sources: list[Source]) -> None:
    """Build the merge sources, and check that they can be merged."""
    merge = task.spec.method.merge
    if merge is None:
        raise ValueError(task.spec.method)
    if has_weights(base.files):
        check_base(sources, base.files)
    how = replace(loading_of(task.spec), on_meta=True)
    models = [load_model(task, source.files, base.tokenizer, how) for source in sources]
    if all(has_weights(source.files) for source in sources) and can_be_summed(sources, merge):
        return
    for model, source in zip(models[1:], sources[1:], strict=True):
        check_like(models[0], model, sources[0], source)
