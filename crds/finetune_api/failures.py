"""Catalogue of failures: classes with a stable code, a retry class, and text for people.

The catalogue is closed. `docs/reference/failures.md` is generated from it and a test makes sure that every
code is caused, for real, by some test.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from finetune_api.exit_codes import ExitCode


class FailureClass(StrEnum):
    """Who can fix a failure; decides on retries."""

    SPEC = "Spec"
    DATA = "Data"
    NOT_FOUND = "NotFound"
    PERMISSION = "Permission"
    OUTPUT = "Output"
    RESOURCES = "Resources"
    TRAINING = "Training"
    TRANSIENT = "Transient"
    INTERNAL = "Internal"
    STOPPED = "Stopped"
    FENCED = "Fenced"
    CLUSTER = "Cluster"
    LIMIT = "Limit"


EXIT_CODE: dict[FailureClass, ExitCode] = {
    FailureClass.SPEC: ExitCode.BAD_SPEC,
    FailureClass.DATA: ExitCode.BAD_DATA,
    FailureClass.NOT_FOUND: ExitCode.NOT_FOUND,
    FailureClass.PERMISSION: ExitCode.PERMISSION,
    FailureClass.OUTPUT: ExitCode.CANNOT_WRITE,
    FailureClass.RESOURCES: ExitCode.OUT_OF_MEMORY,
    FailureClass.TRAINING: ExitCode.DIVERGED,
    FailureClass.TRANSIENT: ExitCode.TRANSIENT,
    FailureClass.INTERNAL: ExitCode.INTERNAL,
    FailureClass.STOPPED: ExitCode.INTERRUPTED,
    FailureClass.FENCED: ExitCode.FENCED,
    FailureClass.CLUSTER: ExitCode.UNAVAILABLE,
    FailureClass.LIMIT: ExitCode.UNAVAILABLE,
}

RETRIED = frozenset({FailureClass.TRANSIENT, FailureClass.INTERNAL})
"""Classes that another attempt may cure; it counts against `runPolicy.backoffLimit`."""


@dataclass(frozen=True)
class Problem:
    """One problem: location, message and fix.

    `where` is a field path (`spec.training.epochs`), a file with a line (`data.csv:12`), or empty.
    """

    message: str
    where: str = ""
    hint: str = ""

    @property
    def located(self) -> str:
        """`where: message`, or the message alone."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __str__(self) -> str:
        """`where: message`, and the hint on its own line, without empty parts."""
        return f"{self.located}\n  {self.hint}" if self.hint else self.located


class JobFailure(Exception):  # noqa: N818 -- "failure" is the API's word; an error is one kind of it
    """Base of all failures that end a job. Raise a subclass; each is an entry of the catalogue."""

    code: ClassVar[str] = ""
    failure_class: ClassVar[FailureClass] = FailureClass.INTERNAL

    def __init__(self, *problems: Problem | str, hint: str = "", where: str = "") -> None:
        """Take one or more problems; a plain string becomes one with `where` and `hint`."""
        self.problems = tuple(p if isinstance(p, Problem) else Problem(p, where, hint) for p in problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return EXIT_CODE[self.failure_class]

    @property
    def retried(self) -> bool:
        """Whether it is retried, within `runPolicy.backoffLimit`."""
        return self.failure_class in RETRIED


def catalogue() -> dict[str, type[JobFailure]]:
    """All failures by code, in order of definition."""
    found: dict[str, type[JobFailure]] = {}
    queue = JobFailure.__subclasses__()
    while queue:
        failure = queue.pop(0)
        found[failure.code] = failure
        queue.extend(failure.__subclasses__())
    return found


class ManifestUnreadable(JobFailure):
    """The job file is missing, not YAML, or holds no FineTuneJob."""

    code, failure_class = "ManifestUnreadable", FailureClass.SPEC


class SpecInvalid(JobFailure):
    """A field of the job is missing, unknown, of the wrong type, out of bounds, or at odds with another."""

    code, failure_class = "SpecInvalid", FailureClass.SPEC


class NotBuiltYet(JobFailure):
    """The job asks for something that the API names but this version can't do."""

    code, failure_class = "NotBuiltYet", FailureClass.SPEC


class ModelUnsuitable(JobFailure):
    """The model can't do this task or method, or a setting exceeds what it can take."""

    code, failure_class = "ModelUnsuitable", FailureClass.SPEC


class ColumnMissing(JobFailure):
    """A column that the task needs is not in the data."""

    code, failure_class = "ColumnMissing", FailureClass.DATA


class DataUnreadable(JobFailure):
    """A data file is not in its format or encoding."""

    code, failure_class = "DataUnreadable", FailureClass.DATA


class DataEmpty(JobFailure):
    """No usable row is left, or a split has none."""

    code, failure_class = "DataEmpty", FailureClass.DATA


class TooManyBadRows(JobFailure):
    """More rows are broken than `data.maxBadRowRatio` allows."""

    code, failure_class = "TooManyBadRows", FailureClass.DATA


class LabelsUnsuitable(JobFailure):
    """Labels can't be learned from: one class only, unknown in training, or not of the problem type."""

    code, failure_class = "LabelsUnsuitable", FailureClass.DATA


class ModelNotFound(JobFailure):
    """The model is not where the job says."""

    code, failure_class = "ModelNotFound", FailureClass.NOT_FOUND


class ModelChanged(JobFailure):
    """The base model is another job's result, and it is no longer what its manifest says."""

    code, failure_class = "ModelChanged", FailureClass.NOT_FOUND


class DataNotFound(JobFailure):
    """A data file, object or hub data set is not where the job says."""

    code, failure_class = "DataNotFound", FailureClass.NOT_FOUND


class CheckpointNotFound(JobFailure):
    """A run is to be resumed, by `--resume` or by `checkpoints.resumeFrom`, and has no checkpoint that can be."""

    code, failure_class = "CheckpointNotFound", FailureClass.NOT_FOUND


class PermissionDenied(JobFailure):
    """The store or the hub refused the credentials, or there are none."""

    code, failure_class = "PermissionDenied", FailureClass.PERMISSION


class CertificateUntrusted(JobFailure):
    """The certificate of the store is not trusted: of a private authority, expired, or of another host."""

    code, failure_class = "CertificateUntrusted", FailureClass.PERMISSION


class UnsafeModel(JobFailure):
    """The model would need remote code or pickled weights, which this project never runs."""

    code, failure_class = "UnsafeModel", FailureClass.PERMISSION


class OutputExists(JobFailure):
    """The output already holds a finished run, or checkpoints of another run that `--uid` names."""

    code, failure_class = "OutputExists", FailureClass.OUTPUT


class OutputNotWritable(JobFailure):
    """The output can't be written: no such bucket, no room, a file in the way."""

    code, failure_class = "OutputNotWritable", FailureClass.OUTPUT


class OutOfMemory(JobFailure):
    """The device ran out of memory."""

    code, failure_class = "OutOfMemory", FailureClass.RESOURCES


class ModelDoesNotFit(JobFailure):
    """By its estimate the job needs clearly more memory than there is; it was not started."""

    code, failure_class = "ModelDoesNotFit", FailureClass.RESOURCES


class LossDiverged(JobFailure):
    """The loss became NaN or infinite."""

    code, failure_class = "LossDiverged", FailureClass.TRAINING


class StorageUnavailable(JobFailure):
    """The store or the hub did not answer, or answered with a server error, after retries."""

    code, failure_class = "StorageUnavailable", FailureClass.TRANSIENT


class InternalError(JobFailure):
    """A defect: nothing above describes it."""

    code, failure_class = "InternalError", FailureClass.INTERNAL


class Interrupted(JobFailure):
    """Stopped from the keyboard or by a signal before there was anything to keep."""

    code, failure_class = "Interrupted", FailureClass.STOPPED


class Stopped(JobFailure):
    """Stopped on request with everything kept: the newest step is in a committed checkpoint."""

    code, failure_class = "Stopped", FailureClass.STOPPED

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return ExitCode.STOPPED


class Fenced(JobFailure):
    """A newer attempt of the same job owns the output; this one may not write any more."""

    code, failure_class = "Fenced", FailureClass.FENCED


class ProfileUnknown(JobFailure):
    """The job names a compute profile that the platform team did not define."""

    code, failure_class = "ProfileUnknown", FailureClass.SPEC


class ParentUnusable(JobFailure):
    """A job that `finetunejob://...` names is of no use: without a result, or without checkpoints, or not there."""

    code, failure_class = "ParentUnusable", FailureClass.NOT_FOUND


class ImageUnavailable(JobFailure):
    """The trainer image could not be pulled within `runPolicy.preRunningDeadlineSeconds`."""

    code, failure_class = "ImageUnavailable", FailureClass.CLUSTER


class PodUnschedulable(JobFailure):
    """No node had room for the pod within `runPolicy.preRunningDeadlineSeconds`."""

    code, failure_class = "PodUnschedulable", FailureClass.CLUSTER


class PodNotStarted(JobFailure):
    """The pod was not created, or did not start, within `runPolicy.preRunningDeadlineSeconds`."""

    code, failure_class = "PodNotStarted", FailureClass.CLUSTER


class PodRefused(JobFailure):
    """The API server refused what the job needs: an admission policy, a missing quota, a name that is taken."""

    code, failure_class = "PodRefused", FailureClass.CLUSTER


class InitContainerFailed(JobFailure):
    """An init container that an admission webhook put into the pod failed, so that the trainer never started."""

    code, failure_class = "InitContainerFailed", FailureClass.TRANSIENT


class NodeRefusedPod(JobFailure):
    """Nodes would not start the pod: a GPU, its device plug-in or other resources were not there after all."""

    code, failure_class = "NodeRefusedPod", FailureClass.CLUSTER


class GpuNotVisible(JobFailure):
    """The pod has a GPU by its order, and PyTorch sees none: an image for CPUs, or no driver that fits."""

    code, failure_class = "GpuNotVisible", FailureClass.CLUSTER


class PodLost(JobFailure):
    """The pod vanished without saying how it ended: deleted by someone, or gone with its node."""

    code, failure_class = "PodLost", FailureClass.TRANSIENT


class ContainerCrashed(JobFailure):
    """The container ended without saying why: killed, or a crash below Python."""

    code, failure_class = "ContainerCrashed", FailureClass.INTERNAL


class TooManyPreemptions(JobFailure):
    """The job was preempted, evicted or drained more often than `runPolicy.maxPreemptions` allows."""

    code, failure_class = "TooManyPreemptions", FailureClass.LIMIT


class ActiveDeadlineExceeded(JobFailure):
    """The job was active for longer than `runPolicy.activeDeadlineSeconds`, suspensions left out."""

    code, failure_class = "ActiveDeadlineExceeded", FailureClass.LIMIT


class Stalled(JobFailure):
    """An attempt made no progress for `runPolicy.stallSeconds`."""

    code, failure_class = "Stalled", FailureClass.TRANSIENT


class TrainerHung(JobFailure):
    """The trainer ended itself: no step, evaluation or transfer made progress for four times `stallSeconds`."""

    code, failure_class = "TrainerHung", FailureClass.TRANSIENT

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return ExitCode.HUNG
