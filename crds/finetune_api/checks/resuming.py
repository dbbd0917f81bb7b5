"""Checks of `checkpoints.resumeFrom`."""

from collections.abc import Iterator

from finetune_api.addresses import addresses
from finetune_api.failures import Problem
from finetune_api.spec import Spec
from finetune_api.uris import parent_job

_FIELD = "spec.checkpoints.resumeFrom.uri"


def resume_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for a spec that names one job for both its result and its checkpoints."""
    name = parent_job(spec.checkpoints.resume_from.uri) if spec.checkpoints.resume_from is not None else ""
    others = [it.path for it in addresses(spec) if name and it.path != _FIELD and parent_job(it.uri) == name]
    if others:
        message = f"the job {name} is named in {others[0]} too, and a job has either a result or checkpoints"
        yield Problem(message, _FIELD, "name in spec.model.uri the base model of that job, or remove resumeFrom")
