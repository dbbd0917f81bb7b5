"""Decoding of spec and status from raw JSON of any version, and encoding of status."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from finetune_api.failures import Problem, SpecInvalid
from finetune_api.output import Output, RunPolicy
from finetune_api.renamed import current_names
from finetune_api.run_file import RunFile
from finetune_api.spec import Spec
from finetune_api.status import Status
from finetune_api.stored import read_stored, unknown_fields, with_current_names
from finetune_operator.records import FineTuneJobRecord, Json

_PROBLEMS_SHOWN = 3


@dataclass(frozen=True)
class ReadSpec:
    """A spec as decoded by this version."""

    spec: Spec
    ignored: tuple[str, ...] = ()
    """Fields that this version does not know and that say something, by their paths."""


def read_spec(finetune_job: FineTuneJobRecord) -> ReadSpec:
    """Decode the spec, leaving out fields of newer versions.

    Raises `SpecInvalid` for one that this version can't read: stored before a rule was made, or by another version.
    """
    given = current_names(Spec, finetune_job.spec)
    try:
        return ReadSpec(Spec.model_validate(given))
    except ValidationError:
        pass
    try:
        spec = Spec.model_validate(given, extra="ignore")
    except ValidationError as error:
        raise SpecInvalid(*(_problem(detail) for detail in error.errors()[:_PROBLEMS_SHOWN])) from error
    return ReadSpec(spec, tuple(_path(path) for path in unknown_fields(Spec, given)))


def read_run_file(text: str, finetune_job: FineTuneJobRecord) -> Spec | None:
    """Decode the spec of a run file with the job's current run policy; None for an invalid one."""
    try:
        spec = RunFile.model_validate_json(with_current_names(RunFile, text), extra="ignore").spec
    except ValidationError:
        return None
    given = finetune_job.spec.get("runPolicy")
    policy = read_stored(RunPolicy, given) if isinstance(given, dict) else RunPolicy()
    return spec.model_copy(update={"run_policy": policy})


def read_output(finetune_job: FineTuneJobRecord) -> Output | None:
    """Decode the output of an otherwise invalid spec; None without one."""
    try:
        return Output.model_validate(finetune_job.spec.get("output"), extra="ignore")
    except ValidationError:
        return None


def read_status(finetune_job: FineTuneJobRecord) -> Status:
    """Decode the stored status, leaving out what is invalid in this version."""
    return read_stored(Status, finetune_job.status)


def status_json(status: Status) -> Json:
    """Encode the status: wire names, JSON values, no nulls."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def written_status(finetune_job: FineTuneJobRecord, status: Status) -> Json:
    """The status to write over that of `finetune_job`.

    What this version does not know in the old one, or has no reason to change, stays as it is.
    """
    wanted = status_json(status)
    if wanted == finetune_job.status:
        return wanted
    before = read_status(finetune_job)
    if status == before:
        return finetune_job.status
    names = {info.alias or name: name for name, info in Status.model_fields.items()}
    kept = {
        wire: value
        for wire, value in finetune_job.status.items()
        if wire not in names or getattr(status, names[wire]) == getattr(before, names[wire])
    }
    return wanted | kept


def _path(path: tuple[Any, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _problem(detail: ErrorDetails) -> Problem:
    return Problem(detail["msg"], _path(detail["loc"]), "create the job again with a spec that this version accepts")


def time_to_live(finetune_job: FineTuneJobRecord) -> int | None:
    """`runPolicy.ttlSecondsAfterFinished`, also of an otherwise invalid spec; None without one."""
    policy = finetune_job.spec.get("runPolicy")
    seconds = policy.get("ttlSecondsAfterFinished") if isinstance(policy, dict) else None
    return seconds if isinstance(seconds, int) and seconds >= 0 else None


def recorded_uids(finetune_job: FineTuneJobRecord) -> frozenset[str]:
    """UIDs of child Jobs in the status; empty for an invalid status."""
    return _texts(finetune_job.status.get("children"), "uid")


def recorded_pods(finetune_job: FineTuneJobRecord) -> frozenset[str]:
    """Names of the pods of attempts in the status."""
    return _texts(finetune_job.status.get("attempts"), "pod")


def _texts(items: object, field: str) -> frozenset[str]:
    found = [item.get(field) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return frozenset(text for text in found if isinstance(text, str))
