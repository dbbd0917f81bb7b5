"""Result of an ended job for its dependents: location of model or checkpoints, and their Secrets."""

from collections.abc import Iterator

from finetune_api.failures import SpecInvalid
from finetune_api.output import Output
from finetune_api.parent import MOST_BASES, Parent, ParentBase
from finetune_api.spec import Spec
from finetune_api.status import Phase, Status
from finetune_api.tasks import MethodType
from finetune_api.uris import is_claim, parent_job
from finetune_operator.codec import read_output, read_spec
from finetune_operator.records import FineTuneJobRecord

_WHOLE_MODELS = frozenset({MethodType.FULL, MethodType.FEATURE_EXTRACTION})


def result_of(finetune_job: FineTuneJobRecord, status: Status) -> Parent | None:
    """The result of a job with that status; None unless it succeeded with a digest."""
    output = read_output(finetune_job)
    if status.phase is not Phase.SUCCEEDED or status.artifacts is None or not status.artifacts.digest or output is None:
        return None
    return _at(finetune_job, output).model_copy(
        update={"digest": status.artifacts.digest, "bases": _bases(finetune_job, status)}
    )


def checkpoints_of(finetune_job: FineTuneJobRecord, status: Status) -> Parent | None:
    """Location of possible checkpoints of a failed job; None where there can't be any.

    The status tells of those that the operator heard of, so the trainer looks for them, before a GPU is taken.
    """
    output = read_output(finetune_job)
    if status.phase is not Phase.FAILED or output is None or not (status.attempts or status.checkpoints):
        return None
    return _at(finetune_job, output)


def _at(finetune_job: FineTuneJobRecord, output: Output) -> Parent:
    return Parent(
        name=finetune_job.name,
        uid=finetune_job.uid,
        output=f"{output.uri.rstrip('/')}/{finetune_job.name}/{finetune_job.uid}",
        digest="",
        secret_ref=output.secret_ref,
    )


def _bases(finetune_job: FineTuneJobRecord, status: Status) -> list[ParentBase]:
    """Bases of its adapter that a pod has to mount something for."""
    try:
        spec = read_spec(finetune_job).spec
    except SpecInvalid:  # of another version, which ran it
        return []
    if spec.method.type in _WHOLE_MODELS or spec.output.merge_adapter:
        return []
    plain = (None, spec.output.secret_ref)  # what opens the output is tried for the rest anyway
    return [base for base in _below(spec, status) if is_claim(base.uri) or base.secret_ref not in plain][:MOST_BASES]


def _below(spec: Spec, status: Status) -> Iterator[ParentBase]:
    model = spec.model
    named = parent_job(model.uri)
    if not named:
        yield ParentBase(uri=model.uri, secret_ref=model.secret_ref)
    for parent in status.parents:
        if parent.name == named:
            yield ParentBase(uri=parent.output, secret_ref=model.secret_ref or parent.secret_ref)
            yield from parent.bases
