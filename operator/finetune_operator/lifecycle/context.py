"""`ReconcileContext`: one FineTuneJob in one snapshot, with the facts shared by policies."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from finetune_api.exit_codes import ExitCode
from finetune_api.live import Live
from finetune_api.run_file import JobIdentity, Mode
from finetune_api.spec import Spec
from finetune_api.status import Condition, Phase, Status
from finetune_operator.lifecycle.children import is_ours
from finetune_operator.manifests.names import child_name
from finetune_operator.plan import Snapshot
from finetune_operator.records import ChildJobRecord, ContainerState, FineTuneJobRecord, PodRecord

TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.GATE_FAILED})
RUNNING = frozenset({Phase.TRAINING, Phase.EVALUATING, Phase.EXPORTING})


@dataclass(frozen=True)
class ReconcileContext:
    """A snapshot with spec and stored status of one FineTuneJob."""

    snapshot: Snapshot
    stored: Status
    spec: Spec
    ignored: tuple[str, ...] = ()
    """Fields of the spec that this version does not know, and leaves out."""
    unread: str = ""
    """Why the spec is that of a run file: this version can't read the one that is stored."""

    @property
    def finetune_job(self) -> FineTuneJobRecord:
        """The FineTuneJob in the operator's cache."""
        return self.snapshot.finetune_job

    @property
    def now(self) -> datetime:
        """Time of the snapshot, in whole seconds."""
        return self.snapshot.now

    @property
    def identity(self) -> JobIdentity:
        """Namespace, name and UID of the FineTuneJob."""
        finetune_job = self.snapshot.finetune_job
        return JobIdentity(name=finetune_job.name, namespace=finetune_job.namespace, uid=finetune_job.uid)

    @cached_property
    def mode(self) -> Mode:
        """Mode of the current child Job: jobs with GPUs are checked without one first."""
        if not self.spec.compute.gpus_per_node or self.is_checked or self._jobs(Mode.TRAIN):
            return Mode.TRAIN
        return Mode.VALIDATE

    @cached_property
    def is_checked(self) -> bool:
        """Whether the check of spec, model and data succeeded."""
        ready = condition(self.stored, "DataReady")
        return (ready is not None and ready.status == "True") or bool(self.checks_done)

    @cached_property
    def checks_done(self) -> list[ChildJobRecord]:
        """Check Jobs that have succeeded."""
        return [
            job
            for job in self._jobs(Mode.VALIDATE)
            if job.condition("Complete") is not None or any(map(_ended_well, self._pods_of(job)))
        ]

    @cached_property
    def job(self) -> ChildJobRecord | None:
        """The child Job of this mode, preferring one that is not being deleted."""
        return max(self._jobs(self.mode), key=lambda job: (not job.deleting, job.created, job.uid), default=None)

    @cached_property
    def pods(self) -> tuple[PodRecord, ...]:
        """Pods of the Jobs of this mode, oldest first."""
        name = child_name(self.identity, self.mode)
        owners = {job.uid for job in self._jobs(self.mode)}
        owners |= {child.uid for child in self.stored.children or () if child.name == name}
        return tuple(pod for pod in self.snapshot.pods if pod.owner_uid in owners or self._is_orphan(pod))

    @cached_property
    def orphaned_pods(self) -> tuple[PodRecord, ...]:
        """Unfinished pods whose Job is not in the cache: nothing may be started beside them."""
        if self.job is not None:
            return ()
        return tuple(pod for pod in self.pods if pod.phase not in ("Succeeded", "Failed"))

    @property
    def pod(self) -> PodRecord | None:
        """The newest pod, running or not."""
        return self.pods[-1] if self.pods else None

    @property
    def running(self) -> PodRecord | None:
        """The pod with a running container."""
        pod = self.pod
        return pod if pod is not None and is_running(pod) else None

    @property
    def live(self) -> Live | None:
        """The newest progress of the newest pod, if it is of this job."""
        reported, pod = self.snapshot.live, self.pod
        if (
            reported is None
            or pod is None
            or reported.pod_uid != pod.uid
            or reported.live.uid != self.snapshot.finetune_job.uid
        ):
            return None
        return reported.live

    @property
    def queue(self) -> str:
        """Kueue's LocalQueue of the spec, or of the label that Kueue's own kinds have; empty without one."""
        return self.spec.compute.queue or self.snapshot.finetune_job.queue

    @property
    def is_queued(self) -> bool:
        """Whether Kueue decides when the Job runs: by our label, or by that of its webhook for a default queue."""
        return bool(self.queue) or (self.job is not None and bool(self.job.queue))

    @property
    def is_held(self) -> bool:
        """Whether another controller keeps the Job suspended: Kueue or another one."""
        job = self.job
        if job is None or not job.suspend or job.deleting or is_finished(job):
            return False
        return self.is_queued or not self.is_own_suspension

    @property
    def is_own_suspension(self) -> bool:
        """Whether the operator suspended the Job. Operators before 0.2 recorded that in the status alone."""
        job, reported = self.job, condition(self.stored, "Suspended")
        if job is None or not job.suspend:
            return False
        return job.is_own_suspension or (reported is not None and reported.reason in {"Suspended", "Suspending"})

    @property
    def is_suspending(self) -> bool:
        """Whether the user requested suspension."""
        return self.spec.run_policy.suspend

    @property
    def is_paused(self) -> bool:
        """Whether the Job is suspended: it makes no more pods, though one may still save its state."""
        job = self.job
        return self.is_suspending and (job is None or job.suspend or job.deleting or is_finished(job))

    def _jobs(self, mode: Mode) -> list[ChildJobRecord]:
        name = child_name(self.identity, mode)
        return [job for job in self.snapshot.jobs if job.name == name and is_ours(self.snapshot, self.stored, job)]

    def _is_orphan(self, pod: PodRecord) -> bool:
        """Whether it is a pod of an unfinished attempt whose Job was deleted without it."""
        attempts = self.stored.attempts if self.mode is Mode.TRAIN else ()
        return not pod.owner_uid and any(each.pod == pod.name and not each.reason for each in attempts)

    @property
    def jobs(self) -> list[ChildJobRecord]:
        """All its Jobs created by the operator."""
        return [*self._jobs(Mode.VALIDATE), *self._jobs(Mode.TRAIN)]

    def _pods_of(self, job: ChildJobRecord) -> list[PodRecord]:
        return [pod for pod in self.snapshot.pods if pod.owner_uid == job.uid]


def newest_job(snapshot: Snapshot, stored: Status) -> ChildJobRecord | None:
    """The newest Job that the operator created for a FineTuneJob, in any mode."""
    own = [job for job in snapshot.jobs if is_ours(snapshot, stored, job)]
    return max(own, key=lambda job: (not job.deleting, job.created, job.uid), default=None)


def has_begun(snapshot: Snapshot, stored: Status) -> bool:
    """Whether the job was accepted before: it has a Job, or had a pod. Its spec no longer ends it."""
    return newest_job(snapshot, stored) is not None or bool(stored.attempts or stored.children)


def condition(status: Status, kind: str) -> Condition | None:
    """The stored condition of that type."""
    return next((found for found in status.conditions if found.type == kind), None)


def is_finished(job: ChildJobRecord) -> bool:
    """Whether the Job has a condition Complete or Failed."""
    return job.condition("Complete") is not None or job.condition("Failed") is not None


def is_running(pod: PodRecord) -> bool:
    """Whether the trainer's container runs, as last observed."""
    running = pod.container is not None and pod.container.state is ContainerState.RUNNING
    return running and pod.phase not in ("Succeeded", "Failed")


def is_over(pod: PodRecord) -> bool:
    """Whether the pod has terminated for good."""
    ended = pod.container is not None and pod.container.state is ContainerState.TERMINATED
    return ended or pod.phase in ("Succeeded", "Failed")


def _ended_well(pod: PodRecord) -> bool:
    return is_over(pod) and pod.container is not None and pod.container.exit_code == ExitCode.DONE
