"""What must hold whatever happens: a played cluster, any order of events, crashes and stale views included."""

from hypothesis import HealthCheck, settings
from hypothesis import Phase as Phase_
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from played_cluster import PlayedCluster
from snapshots import DIGEST, checkpoint, failure, finetune_job, spec, stored, termination, told

from finetune_api.addresses import parent_names
from finetune_api.outcome import Artifacts, Outcome, Progress
from finetune_api.status import Attempt, Phase, Status
from finetune_operator.codec import status_json
from finetune_operator.lifecycle.children import names
from finetune_operator.lifecycle.report.status_size import STATUS_BYTES, size
from finetune_operator.plan import PatchJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import Json

# Shrinking and explaining a failure would take longer than the test may.
PHASES = (Phase_.explicit, Phase_.reuse, Phase_.generate)
TERMINAL = {Phase.SUCCEEDED, Phase.FAILED, Phase.GATE_FAILED}
ONE_PARENT: Json = {"model": {"uri": "finetunejob://one"}}
SOURCES = [{"uri": "finetunejob://one"}, {"uri": "finetunejob://two"}]
TWO_PARENTS: Json = {"method": {"type": "Merge", "merge": {"sources": SOURCES}}, "evaluation": {}}
# Exit code, message, reason, whether the pod was disrupted.
ENDINGS = {
    "success": (0, termination(), "Completed", False),
    "no digest": (0, "", "Completed", False),
    "another job's word": (0, termination(uid="other"), "Completed", False),
    "gate": (86, termination(Outcome.GATE_FAILED), "Error", False),
    "bad data": (65, failure("Data", "ColumnMissing"), "Error", False),
    "bad spec": (64, "", "Error", False),
    "transient": (75, failure("Transient", "StorageUnavailable"), "Error", False),
    "crash": (1, "Traceback\nboom", "Error", False),
    "out of memory": (137, "", "OOMKilled", False),
    "killed": (137, "", "Error", False),
    "preempted": (137, "", "Error", True),
    "saved": (85, termination(Outcome.STOPPED), "Error", False),
    "saved and drained": (85, termination(Outcome.STOPPED), "Error", True),
    "fenced": (78, "", "Error", False),
}


class AnyOrder(RuleBasedStateMachine):
    """Job controller, kubelet, people and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = PlayedCluster()
        self.seen: list[tuple[Snapshot, int]] = []
        self.last = Status()
        self.suspensions = 0
        self.others = 0
        self.held: dict[str, str] = {}

    @initialize(
        queue=st.booleans(),
        gpus=st.sampled_from([0, 1]),
        backoff=st.integers(0, 3),
        preemptions=st.integers(0, 3),
        active=st.sampled_from([0, 0, 100]),
        ttl=st.sampled_from([None, 0, 60]),
        force=st.sampled_from([0, 0, 100]),
        blocks=st.sampled_from([{}, {}, ONE_PARENT, TWO_PARENTS]),
        sidecar=st.booleans(),
    )
    def start(
        self,
        queue: bool,
        gpus: int,
        backoff: int,
        preemptions: int,
        active: int,
        ttl: int | None,
        force: int,
        blocks: Json,
        sidecar: bool,
    ) -> None:
        self.cluster.sidecar = sidecar
        policy = {"backoffLimit": backoff, "maxPreemptions": preemptions, "activeDeadlineSeconds": active,
                  "stallSeconds": 50, "forceReplaceSeconds": force,
                  "preRunningDeadlineSeconds": 600, "ttlSecondsAfterFinished": ttl}  # fmt: skip
        compute = {"profile": "gpu", "gpusPerNode": gpus, "queue": "lq" if queue else ""}
        self.cluster.finetune_job = finetune_job(spec(compute=compute, runPolicy=policy, **blocks))

    @rule()
    def operate(self) -> None:
        self.seen = [*self.seen[-4:], (self.cluster.snapshot(), self.cluster.version)]
        self.cluster.operate()

    @rule(which=st.integers(0, 4))
    def operate_on_an_old_view(self, which: int) -> None:
        if which < len(self.seen):
            snapshot, version = self.seen[which]
            self.cluster.carry_out(reconcile(snapshot), version)

    @rule(done=st.integers(0, 1))
    def crash(self, done: int) -> None:
        self.cluster.carry_out(reconcile(self.cluster.snapshot()), self.cluster.version, stop_after=done)

    @precondition(lambda self: parent_names(self.cluster.finetune_job.spec))
    @rule(name=st.sampled_from(["one", "two"]), phase=st.sampled_from([None, *Phase, *[Phase.SUCCEEDED] * 8]))
    def change_parent(self, name: str, phase: Phase | None) -> None:
        """Another job of that name gets on, or is there now, or goes."""
        self.others += 1
        if phase is None:
            self.cluster.parents.pop(name, None)
            return
        done = Artifacts(model="s3://m", digest=DIGEST) if phase is Phase.SUCCEEDED else None
        status = status_json(Status(phase=phase, artifacts=done))
        self.cluster.parents[name] = finetune_job(spec(), name=name, uid=f"other-{self.others}", status=status)

    @rule()
    def control(self) -> None:
        self.cluster.control()

    @precondition(lambda self: self.cluster.at_work())
    @rule(data=st.data())
    def start_pod(self, data: st.DataObject) -> None:
        pod = data.draw(st.sampled_from(self.cluster.at_work()))
        if pod not in self.cluster.running() and not pod.deleting:
            self.cluster.start(pod)

    @precondition(lambda self: self.cluster.running())
    @rule(data=st.data(), step=st.integers(0, 3), phase=st.sampled_from([*Phase]), saved=st.integers(0, 3))
    def tell(self, data: st.DataObject, step: int, phase: Phase, saved: int) -> None:
        pod = data.draw(st.sampled_from(self.cluster.running()))
        progress = Progress(step=100 * step, total_steps=300, percent=100 * step / 3)
        self.cluster.live = told(
            pod, self.cluster.now, phase=phase, progress=progress, checkpoint_request=pod.checkpoint_request,
            checkpoints=[checkpoint(100 * n) for n in range(saved)], resumed_from=100 * saved or None,
        )  # fmt: skip

    @rule(text=st.sampled_from(["", "now", "again", "x" * 129]))
    def ask_for_a_checkpoint(self, text: str) -> None:
        self.cluster.annotate(checkpoint=text)

    @precondition(lambda self: self.cluster.running())
    @rule(data=st.data(), how=st.sampled_from(sorted(ENDINGS)))
    def end_pod(self, data: st.DataObject, how: str) -> None:
        pod = data.draw(st.sampled_from(self.cluster.running()))
        code, message, reason, disrupt = ENDINGS[how]
        self.cluster.end(pod, code, message, reason, disrupt=disrupt)

    @precondition(lambda self: self.cluster.at_work())
    @rule(data=st.data(), reason=st.sampled_from(["UnexpectedAdmissionError", "OutOfnvidia.com/gpu"]))
    def refuse_pod(self, data: st.DataObject, reason: str) -> None:
        pod = data.draw(st.sampled_from(self.cluster.at_work()))
        if pod not in self.cluster.running() and not pod.deleting and pod.phase == "Pending":
            self.cluster.refuse(pod, reason)

    @precondition(lambda self: self.cluster.pods)
    @rule(data=st.data(), force=st.booleans())
    def delete_pod(self, data: st.DataObject, force: bool) -> None:
        pod = data.draw(st.sampled_from(sorted(self.cluster.pods.values(), key=lambda pod: pod.uid)))
        if force:
            self.cluster.vanish(pod)
        elif pod in self.cluster.at_work():
            self.cluster.delete_pod(pod.uid)

    @precondition(lambda self: self.cluster.jobs)
    @rule(data=st.data())
    def delete_job(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.cluster.jobs)))
        if data.draw(st.booleans()):
            self.cluster.delete_job_in_the_background(uid)
            return
        self.cluster.jobs.pop(uid)
        self.cluster.pods = {name: pod for name, pod in self.cluster.pods.items() if pod.owner_uid != uid}

    @rule(which=st.sampled_from([0, 1]), how=st.sampled_from(["success", "gate", "bad data"]))
    def forge(self, which: int, how: str) -> None:
        """Somebody takes the name of a Job that is not there."""
        snapshot = self.cluster.snapshot()
        name = names(snapshot)[which]
        if all(job.name != name for job in self.cluster.jobs.values()):
            code, message, _reason, _disrupt = ENDINGS[how]
            self.cluster.forge(name, code, message)

    @rule(suspend=st.booleans())
    def toggle(self, suspend: bool) -> None:
        self.suspensions += suspend
        self.cluster.patch_policy(suspend=suspend)

    @rule(limit=st.integers(0, 3))
    def change_limit(self, limit: int) -> None:
        self.cluster.patch_policy(backoffLimit=limit)

    @rule(code=st.sampled_from([0, 0, 403, 409]))
    def refuse(self, code: int) -> None:
        self.cluster.refuses = code

    @precondition(lambda self: any(job.suspend for job in self.cluster.jobs.values()))
    @rule()
    def admit(self) -> None:
        """Kueue lets Jobs go."""
        for job in self.cluster.jobs.values():
            if self.cluster.finetune_job.spec["compute"]["queue"] and job.suspend:
                self.cluster._write(PatchJob(job.name, job.uid, {"spec": {"suspend": False}}))

    @precondition(lambda self: self.cluster.jobs)
    @rule(suspend=st.booleans())
    def hold(self, suspend: bool) -> None:
        """Another controller suspends Jobs, or lets them go."""
        for job in list(self.cluster.jobs.values()):
            if job.suspend != suspend and not job.deleting:
                self.cluster._write(PatchJob(job.name, job.uid, {"spec": {"suspend": suspend}}))

    @rule(seconds=st.sampled_from([1, 7, 20, 61, 700]))
    def wait(self, seconds: int) -> None:
        self.cluster.pass_time(seconds)

    @invariant()
    def at_most_one_training_job_and_pod(self) -> None:
        ours = [job for job in self.cluster.jobs.values() if job.uid not in self.cluster.forged]
        assert len([job for job in ours if job.mode == "Train"]) <= 1
        at_work = [pod for pod in self.cluster.at_work() if pod.owner_uid not in self.cluster.forged]
        assert len([pod for pod in at_work if "-check-" not in pod.name]) <= 1

    @invariant()
    def what_others_made_says_nothing(self) -> None:
        told = {attempt.pod for attempt in self.cluster.status.attempts}
        assert told.isdisjoint(pod.name for pod in self.cluster.pods.values() if pod.owner_uid in self.cluster.forged)
        assert {child.uid for child in self.cluster.status.children or ()}.isdisjoint(self.cluster.forged)

    @invariant()
    def a_repeated_decision_is_the_same(self) -> None:
        """And its status is valid and small, and keeps to the limits."""
        snapshot = self.cluster.snapshot()
        first = reconcile(snapshot)
        if first.status.parents != self.cluster.status.parents:  # the next step follows once they are held
            snapshot = stored(snapshot, first)
            first = reconcile(snapshot)
        again = reconcile(stored(snapshot, first))
        assert again.events == ()
        assert status_json(again.status) == status_json(first.status)
        assert size(first.status) <= STATUS_BYTES
        assert Status.model_validate_json(first.status.model_dump_json(by_alias=True)) == first.status
        policy = self.cluster.finetune_job.spec["runPolicy"]
        if first.status.phase not in TERMINAL:
            assert first.status.failures <= policy["backoffLimit"]
            assert first.status.preemptions <= policy["maxPreemptions"]

    @invariant()
    def the_story_only_goes_forward(self) -> None:
        now, before = self.cluster.status, self.last
        self.last = now
        if before.phase in TERMINAL:
            assert now.model_copy(update={"observed_generation": before.observed_generation}) == before
        assert now.failures >= before.failures
        assert now.preemptions >= before.preemptions
        assert now.active_seconds >= before.active_seconds
        assert _ended(before.attempts) <= _ended(now.attempts) or len(now.attempts) == 16

    @invariant()
    def nothing_is_made_before_all_results_are_held_and_they_stay(self) -> None:
        held = {parent.name: parent.uid for parent in self.cluster.status.parents}
        assert self.held.items() <= held.items()
        self.held = held
        if self.cluster.jobs.keys() - self.cluster.forged:
            assert held.keys() == {*parent_names(self.cluster.finetune_job.spec)}

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        status = self.cluster.status
        assert status.failures + status.preemptions <= self.cluster.pods_made

    @invariant()
    def success_has_a_digest(self) -> None:
        status = self.cluster.status
        if status.phase is Phase.SUCCEEDED:
            assert status.artifacts is not None
            assert status.artifacts.digest

    def teardown(self) -> None:
        """Left alone, operator and Job controller come to rest; of a job that has ended nothing runs on."""
        self.cluster.refuses = 0
        for _ in range(4):
            self.cluster.pass_time(30)
            for pod in [pod for pod in self.cluster.running() if pod.deleting]:
                self.cluster.end(pod, 85, termination(Outcome.STOPPED))
            self.cluster.settle()
        done = self.cluster.status.phase in {*TERMINAL, Phase.SUSPENDED}
        if done and not self.cluster.finetune_job.deleting:
            ours = [pod for pod in self.cluster.at_work() if pod.owner_uid not in self.cluster.forged]
            assert [pod for pod in ours if not pod.deleting] == []


def _ended(attempts: list[Attempt]) -> set[tuple[int, str]]:
    return {(attempt.number, attempt.reason) for attempt in attempts if attempt.reason}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES
)
