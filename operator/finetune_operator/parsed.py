"""Reads spec and status of a record: closed models from raw JSON, or words about what is wrong with it."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from finetune_api.failures import Problem, SpecInvalid
from finetune_api.job import Spec
from finetune_api.output import Output
from finetune_api.status import Status
from finetune_operator.records import Json, TuneRecord

_PROBLEMS_SHOWN = 3


def read_spec(tune: TuneRecord) -> Spec:
    """Return the spec.

    Raises `SpecInvalid` for one that this version can't read: stored before a rule was made, or by another version.
    """
    try:
        return Spec.model_validate(tune.spec)
    except ValidationError as error:
        raise SpecInvalid(*(_problem(detail) for detail in error.errors()[:_PROBLEMS_SHOWN])) from error


def read_output(tune: TuneRecord) -> Output | None:
    """Return the output of a spec that may not be readable otherwise; None where there is none."""
    try:
        return Output.model_validate(tune.spec.get("output"))
    except ValidationError:
        return None


def read_status(tune: TuneRecord) -> Status:
    """Return the stored status, leaving out fields that this version can't read."""
    try:
        return Status.model_validate(tune.status)
    except ValidationError as error:
        broken = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        return Status.model_validate({name: value for name, value in tune.status.items() if name not in broken})


def status_json(status: Status) -> Json:
    """Return the status as it is written: wire names, JSON values, without what is null."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _problem(detail: ErrorDetails) -> Problem:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    return Problem(detail["msg"], f"spec{where}", "create the job again with a spec that this version accepts")


def time_to_live(tune: TuneRecord) -> int | None:
    """`runPolicy.ttlSecondsAfterFinished`, also of a spec that can't be read otherwise; None where there is none."""
    policy = tune.spec.get("runPolicy")
    seconds = policy.get("ttlSecondsAfterFinished") if isinstance(policy, dict) else None
    return seconds if isinstance(seconds, int) and seconds >= 0 else None
