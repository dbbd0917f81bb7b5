"""A cluster played in memory: API server, Job controller and kubelet, as far as they matter for one FineTuneJob.

The operator's writes have their real preconditions (names, UIDs, the version of the status), so that stale decisions
and crashes between two writes can be played.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from snapshots import NOW, SETTINGS, UID, finetune_job

from finetune_api.status import Status
from finetune_operator.codec import read_status, status_json
from finetune_operator.dependency_index import awaited_parents
from finetune_operator.lifecycle.children import with_child
from finetune_operator.manifests.failure_policy import ENDS_THE_JOB, NOT_COUNTED
from finetune_operator.plan import (
    AskForCheckpoint,
    CreateJob,
    DeleteFineTuneJob,
    DeleteJob,
    DeletePod,
    Event,
    FailPod,
    LiveRecord,
    PatchJob,
    Plan,
    Refusal,
    RestoreLabels,
    Snapshot,
    Write,
)
from finetune_operator.reconcile import reconcile
from finetune_operator.records import (
    ChildJobRecord,
    ConditionRecord,
    ContainerRecord,
    ContainerState,
    FineTuneJobRecord,
    Json,
    OtherContainer,
    PodRecord,
)


@dataclass
class PlayedCluster:
    """What the API server holds, and what its controllers remember."""

    finetune_job: FineTuneJobRecord = field(default_factory=finetune_job)
    version: int = 1
    """Of the FineTuneJob."""
    jobs: dict[str, ChildJobRecord] = field(default_factory=dict)
    """By UID."""
    pods: dict[str, PodRecord] = field(default_factory=dict)
    """By UID, oldest first."""
    parents: dict[str, FineTuneJobRecord] = field(default_factory=dict)
    """Other FineTuneJobs that there are, by name."""
    live: LiveRecord | None = None
    refusal: Refusal | None = None
    now: datetime = NOW
    sidecar: bool = False
    """Whether pods get a container that runs until the pod is deleted."""
    refuses: int = 0
    """HTTP status for the next creation; 0 means yes."""
    events: list[Event] = field(default_factory=list)
    created: set[str] = field(default_factory=set)
    """UIDs of Jobs that the operator knows to have made; it forgets them when it is killed."""
    vanished: set[str] = field(default_factory=set)
    """UIDs of Jobs that the operator knows to be gone."""
    forged: set[str] = field(default_factory=set)
    """UIDs of Jobs that others made under a name of ours."""
    made: int = 0
    pods_made: int = 0
    counted: set[str] = field(default_factory=set)
    """Pods that the Job controller has taken into account."""

    # What the operator sees and does.

    def snapshot(self) -> Snapshot:
        return Snapshot(self.finetune_job, tuple(self.jobs.values()), tuple(self.pods.values()), self.live,
                        self.refusal, self.now, SETTINGS, self._awaited(), created=frozenset(self.created),
                        vanished=frozenset(self.vanished))  # fmt: skip

    def _awaited(self) -> tuple[FineTuneJobRecord, ...]:
        return tuple(self.parents[name] for name in awaited_parents(self.finetune_job) if name in self.parents)

    @property
    def status(self) -> Status:
        return read_status(self.finetune_job)

    def operate(self) -> Plan:
        """Reconcile once and carry it out."""
        plan = reconcile(self.snapshot())
        self.carry_out(plan, self.version)
        return plan

    def settle(self) -> None:
        """Let operator and Job controller work until nothing changes."""
        for _ in range(30):
            before = (self.finetune_job, dict(self.jobs), dict(self.pods))
            self.operate()
            self.control()
            if before == (self.finetune_job, self.jobs, self.pods):
                return
        raise AssertionError(f"operator and Job controller never come to rest: {self.status}")

    def start_next(self) -> PodRecord:
        """Let the pod that the operator's newest Job gets start; return it as it runs, once the operator knows."""
        self.settle()
        (pod,) = self.at_work()
        self.start(pod)
        self.settle()
        (pod,) = self.running()
        return pod

    def carry_out(self, plan: Plan, version: int, stop_after: int | None = None) -> None:
        """Do the plan, made from the job as it was at `version`; a crash leaves out all after `stop_after` writes."""
        status = plan.status
        for write in plan.writes[:stop_after]:
            if not self._write(write):
                return
            if isinstance(write, CreateJob):
                name = write.manifest["metadata"]["name"]
                uid = next(uid for uid in self.created if uid in self.jobs and self.jobs[uid].name == name)
                status = with_child(status, name, uid)
        if stop_after is not None:
            self.created.clear()  # the process is gone
        if stop_after is not None or version != self.version:
            return  # crashed, or the status was refused as a conflict
        if status_json(status) != self.finetune_job.status:
            self.finetune_job = replace(self.finetune_job, status=status_json(status))
            self.version += 1
            self.events += plan.events

    def _write(self, write: Write) -> bool:
        match write:
            case CreateJob(manifest):
                return self._create(manifest)
            case RestoreLabels(_, uid, _) if uid not in self.jobs:
                self.vanished.add(uid)
                return False
            case PatchJob(_, uid, patch) if uid in self.jobs:
                self.jobs[uid] = _patched(self.jobs[uid], patch)
            case DeleteJob(_, uid) if uid in self.jobs:
                self.jobs[uid] = replace(self.jobs[uid], deleting=True)
            case AskForCheckpoint(_, uid, request) if uid in self.pods:
                self.pods[uid] = replace(self.pods[uid], checkpoint_request=request)
            case FailPod(_, uid, reason, message) if uid in self.pods:
                why = (ConditionRecord("DisruptionTarget", "True", reason, message),)
                self.pods[uid] = replace(self.pods[uid], phase="Failed", conditions=why)
            case DeletePod(_, uid, force=True) if uid in self.pods:
                self.vanish(self.pods[uid])
            case DeletePod(_, uid) if uid in self.pods:
                self.delete_pod(uid)
            case DeleteFineTuneJob(uid):
                self.finetune_job = replace(self.finetune_job, deleting=True)
        return True

    def _create(self, manifest: Json) -> bool:
        if self.refuses:
            self.refusal = Refusal(self.refuses, "exceeded quota: gpus", self.now)
            return False
        name, spec = manifest["metadata"]["name"], manifest["spec"]
        if all(job.name != name for job in self.jobs.values()):
            self.made += 1
            uid = f"job-{self.made}"
            self.jobs[uid] = ChildJobRecord(
                "team", name, uid, UID, manifest["metadata"]["labels"]["finetune.dev/mode"], self.now, False,
                spec.get("suspend", False), spec["backoffLimit"], spec.get("activeDeadlineSeconds"), None, None,
                0, 0, 0, 0, queue=manifest["metadata"]["labels"].get("kueue.x-k8s.io/queue-name", ""),
            )  # fmt: skip
        found = next(job for job in self.jobs.values() if job.name == name)
        if found.uid in self.forged:
            if self.refusal is not None:
                self.jobs[found.uid] = replace(found, deleting=True)
            self.refusal = Refusal(409, "a Job exists that the operator did not make", self.now)
            return False
        self.refusal = None
        self.created.add(found.uid)
        return True

    def forge(self, name: str, code: int, message: str) -> None:
        """Somebody creates a Job under that name with our owner reference, whose pod tells what they like."""
        self.made += 1
        uid = f"forged-{self.made}"
        mode = "Validate" if name.endswith("-check") else "Train"
        self.jobs[uid] = ChildJobRecord("team", name, uid, UID, mode, self.now, False, False, 3, None, self.now, None,
                                   0, 0, 0, 0)  # fmt: skip
        self.forged.add(uid)
        self._start_pod(self.jobs[uid])
        pod = self._of(self.jobs[uid])[-1]
        self.start(pod)
        self.end(self.pods[pod.uid], code, message)

    # The Job controller.

    def control(self) -> None:
        """One pass of the Job controller over all Jobs."""
        for uid, job in list(self.jobs.items()):
            if job.deleting:
                self._finalise(job)
            elif not _is_finished(job):
                self.jobs[uid] = self._controlled(job)

    def _finalise(self, job: ChildJobRecord) -> None:
        """Foreground deletion: pods first."""
        self._end_pods(job)
        if not self._at_work(job):
            del self.jobs[job.uid]
            self.pods = {uid: pod for uid, pod in self.pods.items() if pod.owner_uid != job.uid}

    def _controlled(self, job: ChildJobRecord) -> ChildJobRecord:
        for pod in [pod for pod in self._of(job) if _is_over(pod) and pod.uid not in self.counted]:
            self.counted.add(pod.uid)
            job = _accounted(job, pod, self.now)
            if _is_finished(job):
                self._end_pods(job)
                return job
        if _is_too_old(job, self.now):
            self._end_pods(job)
            return _finished(job, "Failed", "DeadlineExceeded", "", self.now)
        if job.suspend:
            self._end_pods(job)
            paused = (ConditionRecord("Suspended", "True", "JobSuspended", "", self.now),)
            return replace(job, conditions=job.conditions or paused)
        job = job if job.started and not job.conditions else replace(job, started=self.now, conditions=())
        if not self._at_work(job):
            self._start_pod(job)
        return job

    def _start_pod(self, job: ChildJobRecord) -> None:
        self.pods_made += 1
        name = f"{job.name}-0-{self.pods_made:05}"
        self.pods[f"pod-{self.pods_made}"] = PodRecord(
            "team", name, f"pod-{self.pods_made}", job.uid, UID, self.now, False, None, "Pending", "", "", "", "",
            ContainerRecord(ContainerState.WAITING, "ContainerCreating"),
        )  # fmt: skip

    def _end_pods(self, job: ChildJobRecord) -> None:
        for pod in self._at_work(job):
            self.delete_pod(pod.uid)

    def _of(self, job: ChildJobRecord) -> list[PodRecord]:
        return [pod for pod in self.pods.values() if pod.owner_uid == job.uid]

    def _at_work(self, job: ChildJobRecord) -> list[PodRecord]:
        return [pod for pod in self._of(job) if not _is_over(pod)]

    # The kubelet, and people.

    def at_work(self) -> list[PodRecord]:
        """Pods that have not ended."""
        return [pod for pod in self.pods.values() if not _is_over(pod)]

    def running(self) -> list[PodRecord]:
        return [pod for pod in self.at_work() if pod.container and pod.container.state is ContainerState.RUNNING]

    def start(self, pod: PodRecord) -> None:
        container = ContainerRecord(ContainerState.RUNNING, started=self.now)
        self.pods[pod.uid] = replace(pod, phase="Running", ip="10.0.0.9", node="node1", container=container)

    def end(
        self, pod: PodRecord, code: int, message: str = "", reason: str = "Error", *, disrupt: bool = False
    ) -> None:
        started = pod.container.started if pod.container else None
        container = ContainerRecord(ContainerState.TERMINATED, reason, message, code, started or self.now, self.now)
        why = (ConditionRecord("DisruptionTarget", "True", "PreemptionByScheduler"),) if disrupt else ()
        phase, others = _phase(code), pod.others
        if self.sidecar and not pod.deleting:
            phase, others = "Running", (OtherContainer("proxy", False, ContainerRecord(ContainerState.RUNNING)),)
        self.pods[pod.uid] = replace(pod, phase=phase, container=container, conditions=why, others=others)

    def refuse(self, pod: PodRecord, reason: str) -> None:
        """The node won't have the pod."""
        self.pods[pod.uid] = replace(pod, phase="Failed", reason=reason, container=None)

    def delete_pod(self, uid: str) -> None:
        """Ask a pod to end: one that has not started ends at once."""
        pod = self.pods[uid]
        if pod.container is None or pod.container.state is ContainerState.WAITING:
            self.pods[uid] = replace(pod, deleting=True, phase="Failed", container=None)
        elif pod.container.state is ContainerState.TERMINATED:  # only its sidecar runs
            phase = _phase(pod.container.exit_code)
            self.pods[uid] = replace(pod, deleting=True, phase=phase, others=())
        else:
            until = self.now + timedelta(seconds=SETTINGS.termination_grace_seconds)
            self.pods[uid] = replace(pod, deleting=True, deletion_deadline=pod.deletion_deadline or until)

    def delete_job_in_the_background(self, uid: str) -> None:
        """The Job goes at once; its pods are asked to end, and go when they have."""
        self.jobs.pop(uid)
        for pod in [pod for pod in self.at_work() if pod.owner_uid == uid]:
            self.delete_pod(pod.uid)

    def vanish(self, pod: PodRecord) -> None:
        """The pod goes without a trace, as after a forced deletion."""
        del self.pods[pod.uid]

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def annotate(self, **annotations: str) -> None:
        """`kubectl annotate`, in the group `finetune.dev`."""
        named = {f"finetune.dev/{name}": value for name, value in annotations.items()}
        self.finetune_job = replace(self.finetune_job, annotations={**self.finetune_job.annotations, **named})
        self.version += 1

    def patch_policy(self, **policy: Any) -> None:
        """`kubectl patch` of the run policy."""
        changed = {**self.finetune_job.spec, "runPolicy": {**self.finetune_job.spec.get("runPolicy", {}), **policy}}
        self.finetune_job = replace(self.finetune_job, spec=changed, generation=self.finetune_job.generation + 1)
        self.version += 1


def _phase(code: int | None) -> str:
    return "Succeeded" if code == 0 else "Failed"


def _patched(job: ChildJobRecord, patch: Json) -> ChildJobRecord:
    for name, value in patch.get("metadata", {}).get("annotations", {}).items():
        assert name == "finetune.dev/suspended"
        job = replace(job, is_own_suspension=value is not None)
    spec = patch["spec"]
    fields = {"suspend": "suspend", "backoffLimit": "backoff_limit", "activeDeadlineSeconds": "active_deadline_seconds"}
    return replace(job, **{fields[name]: value for name, value in spec.items()})


def _accounted(job: ChildJobRecord, pod: PodRecord, now: datetime) -> ChildJobRecord:
    """The Job once the failure policy has been applied to a pod that ended."""
    code = pod.container.exit_code if pod.container else None
    if pod.phase == "Succeeded":
        return _finished(replace(job, succeeded=1), "Complete", "CompletionsReached", "", now)
    if pod.condition("DisruptionTarget") or code in NOT_COUNTED:
        return job
    if code in ENDS_THE_JOB:
        message = f"Container trainer for pod team/{pod.name} failed with exit code {code} matching FailJob rule"
        return _finished(job, "Failed", "PodFailurePolicy", message, now)
    job = replace(job, failed=job.failed + 1)
    too_many = job.failed > job.backoff_limit
    return _finished(job, "Failed", "BackoffLimitExceeded", "", now) if too_many else job


def _finished(job: ChildJobRecord, kind: str, reason: str, message: str, now: datetime) -> ChildJobRecord:
    return replace(job, conditions=(ConditionRecord(kind, "True", reason, message, now),))


def _is_finished(job: ChildJobRecord) -> bool:
    return job.condition("Complete") is not None or job.condition("Failed") is not None


def _is_over(pod: PodRecord) -> bool:
    return pod.phase in ("Succeeded", "Failed")


def _is_too_old(job: ChildJobRecord, now: datetime) -> bool:
    seconds = job.active_deadline_seconds
    if seconds is None or job.started is None or job.suspend:
        return False
    return now - job.started >= timedelta(seconds=seconds)
