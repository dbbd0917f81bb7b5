"""One FineTuneJob at one moment, with the facts that all policies start from."""

from dataclasses import dataclass
from functools import cached_property

from finetune_api.exit_codes import ExitCode
from finetune_api.job import Spec
from finetune_api.live import Live
from finetune_api.run_file import JobIdentity, Mode
from finetune_api.status import Condition, Phase, Status
from finetune_operator.plan import World
from finetune_operator.records import ContainerState, JobRecord, PodRecord

TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.GATE_FAILED})
RUNNING = frozenset({Phase.TRAINING, Phase.EVALUATING, Phase.EXPORTING})


@dataclass(frozen=True)
class Case:
    """What is known, and what was told last."""

    world: World
    stored: Status
    spec: Spec
    ignored: tuple[str, ...] = ()
    """Fields of the spec that this version does not know, and leaves out."""
    unread: str = ""
    """Why the spec is that of a run file: this version can't read the one that is stored."""

    @property
    def identity(self) -> JobIdentity:
        """Which FineTuneJob it is."""
        tune = self.world.tune
        return JobIdentity(name=tune.name, namespace=tune.namespace, uid=tune.uid)

    @cached_property
    def mode(self) -> Mode:
        """What has to be done now: jobs with GPUs are checked without one first."""
        if not self.spec.compute.gpus_per_node or self.is_checked or self._jobs(Mode.TRAIN):
            return Mode.TRAIN
        return Mode.VALIDATE

    @cached_property
    def is_checked(self) -> bool:
        """Whether spec, model and data are known to be fine."""
        ready = condition(self.stored, "DataReady")
        return (ready is not None and ready.status == "True") or bool(self.checks_done)

    @cached_property
    def checks_done(self) -> list[JobRecord]:
        """Jobs that have found spec, model and data to be fine."""
        return [
            job
            for job in self._jobs(Mode.VALIDATE)
            if job.condition("Complete") is not None or any(map(_ended_well, self._pods_of(job)))
        ]

    @cached_property
    def job(self) -> JobRecord | None:
        """The child Job of this mode; the one that stays where another is being deleted."""
        return max(self._jobs(self.mode), key=lambda job: (not job.deleting, job.created, job.uid), default=None)

    @cached_property
    def pods(self) -> tuple[PodRecord, ...]:
        """Pods of the Jobs of this mode, oldest first."""
        owners = {job.uid for job in self._jobs(self.mode)}
        return tuple(pod for pod in self.world.pods if pod.owner_uid in owners)

    @property
    def pod(self) -> PodRecord | None:
        """The newest pod, running or not."""
        return self.pods[-1] if self.pods else None

    @property
    def running(self) -> PodRecord | None:
        """The pod whose container runs."""
        pod = self.pod
        return pod if pod is not None and is_running(pod) else None

    @property
    def live(self) -> Live | None:
        """What the newest pod told of itself, if it is of this job."""
        told, pod = self.world.live, self.pod
        if told is None or pod is None or told.pod_uid != pod.uid or told.live.uid != self.world.tune.uid:
            return None
        return told.live

    @property
    def is_queued(self) -> bool:
        """Whether Kueue decides when the Job runs."""
        return bool(self.spec.compute.queue) and self.mode is Mode.TRAIN

    @property
    def is_suspending(self) -> bool:
        """Whether the user asked for the pods to be freed."""
        return self.spec.run_policy.suspend

    @property
    def is_paused(self) -> bool:
        """Whether that was done: the Job makes no more pods, though one may still save its state."""
        job = self.job
        return self.is_suspending and (job is None or job.suspend or job.deleting or is_finished(job))

    def _jobs(self, mode: Mode) -> list[JobRecord]:
        return [job for job in self.world.jobs if job.mode == mode and job.owner_uid == self.world.tune.uid]

    def _pods_of(self, job: JobRecord) -> list[PodRecord]:
        return [pod for pod in self.world.pods if pod.owner_uid == job.uid]


def newest_job(world: World) -> JobRecord | None:
    """The newest Job of a FineTuneJob, whatever it is for."""
    own = [job for job in world.jobs if job.owner_uid == world.tune.uid]
    return max(own, key=lambda job: (not job.deleting, job.created, job.uid), default=None)


def has_begun(world: World, stored: Status) -> bool:
    """Whether the job was accepted once: it has a Job, or had a pod. Nothing in its spec ends it from then on."""
    return newest_job(world) is not None or bool(stored.attempts)


def condition(status: Status, kind: str) -> Condition | None:
    """The stored condition of that type."""
    return next((found for found in status.conditions if found.type == kind), None)


def is_finished(job: JobRecord) -> bool:
    """Whether the Job controller is done with it."""
    return job.condition("Complete") is not None or job.condition("Failed") is not None


def is_running(pod: PodRecord) -> bool:
    """Whether the trainer's container runs, as far as anyone knows."""
    running = pod.container is not None and pod.container.state is ContainerState.RUNNING
    return running and pod.phase not in ("Succeeded", "Failed")


def is_over(pod: PodRecord) -> bool:
    """Whether the pod will never run again."""
    ended = pod.container is not None and pod.container.state is ContainerState.TERMINATED
    return ended or pod.phase in ("Succeeded", "Failed")


def _ended_well(pod: PodRecord) -> bool:
    return is_over(pod) and pod.container is not None and pod.container.exit_code == ExitCode.DONE
