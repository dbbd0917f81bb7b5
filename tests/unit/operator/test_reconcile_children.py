"""Children that are refused, lost, replaced or left over; checks before a GPU is taken; what is written when."""

from dataclasses import replace

import pytest
from snapshots import (
    SETTINGS,
    after,
    begun,
    ended,
    ended_pod,
    ended_well,
    failed_with,
    failure,
    finetune_job,
    job,
    on_gpu,
    running_pod,
    said,
    snapshot,
    spec,
    status_of,
    still_says,
    termination,
    then,
    told,
    with_policy,
)

from finetune_api.outcome import Progress
from finetune_api.status import Phase
from finetune_operator.plan import CreateJob, DeleteFineTuneJob, DeleteJob, PatchJob, Refusal, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import Profile

GPU = {"profile": "gpu", "gpusPerNode": 1}


def succeeded(**policy: object) -> Snapshot:
    return ended_well(runPolicy=policy)


def test_time_to_live_starts_when_the_outcome_is_stored() -> None:
    before = begun(runPolicy={"ttlSecondsAfterFinished": 0})
    outcome = then(before, job(), ended_pod(0, termination()), now=after(60))
    assert reconcile(outcome).writes == ()
    assert [type(write) for write in reconcile(then(outcome)).writes] == [DeleteFineTuneJob]


def test_time_to_live_lasts() -> None:
    done = then(succeeded(ttlSecondsAfterFinished=600))
    assert reconcile(done).again_at == after(660)
    assert reconcile(then(done, now=after(659))).writes == ()
    assert [type(write) for write in reconcile(then(done, now=after(660))).writes] == [DeleteFineTuneJob]
    assert reconcile(then(then(succeeded()), now=after(10**7))).writes == ()


def test_what_is_left_is_stopped_once_the_outcome_is_stored() -> None:
    late = then(begun(runPolicy={"activeDeadlineSeconds": 300}), now=after(300))
    assert reconcile(late).writes == ()
    done = then(late)
    assert reconcile(done).writes == (PatchJob("movies-8f14e45f", "job-1", {"spec": {"activeDeadlineSeconds": 1}}),)
    assert reconcile(then(done, job(suspend=True))).writes == (DeleteJob("movies-8f14e45f", "job-1"),)


@pytest.mark.parametrize("child", [ended_pod(0, termination()), ended_pod(65, failure("Data", "ColumnMissing"))])
def test_a_job_that_ends_by_itself_is_left_alone(child: object) -> None:
    done = then(then(begun(), job(), child, now=after(60)))  # type: ignore[arg-type]
    assert reconcile(done).writes == ()


def test_a_complete_job_without_a_result_is_made_anew_so_that_the_trainer_can_repeat_it() -> None:
    complete = job(conditions=ended("Complete", at=after(60)))
    seen = then(begun(), complete, ended_pod(0, ""), now=after(90))
    assert reconcile(seen).writes == ()
    told_so = then(seen)
    assert reconcile(told_so).writes == (DeleteJob("movies-8f14e45f", "job-1"),)
    assert reconcile(then(told_so, job(deleting=True))).writes == ()
    gone = replace(told_so, jobs=(), pods=())
    assert [type(write) for write in reconcile(gone).writes] == [CreateJob]
    assert reconcile(gone).status.failures == 1


def test_a_job_that_someone_deleted_is_made_again_and_its_attempt_is_no_failure() -> None:
    gone = replace(then(begun()), jobs=(), pods=())
    plan = reconcile(gone)
    assert [type(write) for write in plan.writes] == [CreateJob]
    assert [attempt.reason for attempt in plan.status.attempts] == ["Stopped"]
    assert [event.reason for event in plan.events] == ["JobCreated", "Preempted"]
    assert (plan.status.failures, plan.status.preemptions) == (0, 1)


@pytest.mark.causes("PodLost")
def test_a_pod_that_vanished_and_that_its_job_counts_as_failed_is_lost() -> None:
    gone = then(with_policy(begun(), backoffLimit=0), job(failed=1))
    assert failed_with(gone) == "PodLost"


def test_a_job_that_failed_by_its_own_count_only_is_made_again() -> None:
    preempted = then(begun(runPolicy={"backoffLimit": 0}), job(backoff_limit=0), ended_pod(85), now=after(60))
    failed = job(backoff_limit=0, conditions=ended("Failed", "BackoffLimitExceeded", at=after(60)))
    seen = then(preempted, failed, ended_pod(85), now=after(61))
    assert reconcile(seen).writes == (DeleteJob("movies-8f14e45f", "job-1"),)


def test_the_job_controller_s_memory_stands_in_for_a_pod_that_is_gone() -> None:
    message = "Container trainer for pod team/x failed with exit code 65 matching FailJob rule at index 2"
    failed = job(conditions=ended("Failed", "PodFailurePolicy", message))
    assert failed_with(then(begun(), failed, now=after(60))) == "DataUnreadable"


@pytest.mark.causes("PodRefused")
def test_a_quota_is_waited_for_and_said() -> None:
    refused = Refusal(403, "exceeded quota: gpus", after(0))
    start = replace(snapshot(), refusal=refused)
    plan = reconcile(start)
    assert (plan.writes, plan.again_at) == ((), refused.next_try)
    assert after(3) < refused.next_try < after(7)
    assert plan.status.phase is Phase.PENDING
    assert said(plan.status, "Progressing") == ("False", "JobRefused")
    assert "exceeded quota: gpus" in plan.events[-1].message
    assert [type(write) for write in reconcile(then(start, now=refused.next_try)).writes] == [CreateJob]
    assert reconcile(then(start, now=after(1e6))).status.phase is Phase.PENDING
    limited = with_policy(then(start), preRunningDeadlineSeconds=900)
    assert failed_with(then(limited, now=after(900))) == "PodRefused"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("spec.template.spec.containers[0].resources.requests[bogus]: Invalid", "requests and limits of profiles.gpu"),
        ("spec.template.spec.nodeSelector: Invalid value", "nodeSelector of profiles.gpu"),
        ("spec.template.labels: Invalid value: 'a b'", "labels of profiles.gpu"),
        ("volumes: too many", ""),
    ],
)
def test_the_profile_whose_setting_is_refused_is_named(words: str, hint: str) -> None:
    some = snapshot(of=finetune_job(spec(compute={"profile": "gpu"})), refusal=Refusal(422, words, after(0)))
    failure = reconcile(some).status.failure
    assert failure is not None
    assert failure.hint == (f"that is {hint}, which the platform team sets" if hint else "")
    checked = snapshot(of=on_gpu(), refusal=some.refusal)
    failure = reconcile(checked).status.failure
    assert failure is not None
    assert failure.hint == (f"that is {hint}, which the platform team sets" if hint else "").replace(
        "profiles.gpu", "checkProfile"
    )


def test_an_invalid_child_is_not_tried_again() -> None:
    assert failed_with(replace(snapshot(), refusal=Refusal(422, "volumes: too many", after(0)))) == "PodRefused"


@pytest.mark.causes("ProfileUnknown")
@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"compute": {"profile": "defualt"}}, "ProfileUnknown", ("spec.compute.profile", "did you mean default?")),
        ({"compute": {"gpusPerNode": 1}}, "SpecInvalid", ("spec.compute.gpusPerNode", "choose one of gpu")),
        ({"compute": {"profile": "gpu", "gpusPerNode": 2}}, "NotBuiltYet", ("spec.compute.gpusPerNode", "use 1")),
        ({"compute": {"nodes": 2}}, "NotBuiltYet", ("spec.compute.nodes",)),
        ({"task": "PolicyOptimization"}, "SpecInvalid", ("spec.training.policy", "reward")),
        ({"output": {"uri": "file://out"}}, "SpecInvalid", ("spec.output.uri", "pvc://")),
        ({"evaluation": {"metric": "accurracy"}}, "SpecInvalid", ("spec.evaluation.metric", "accuracy")),
        ({"training": {"epochs": "many"}}, "SpecInvalid", ("spec.training.epochs",)),
    ],
)
def test_a_spec_that_can_not_run_is_refused_by_field_and_remedy(
    changes: dict[str, object], code: str, words: tuple[str, ...]
) -> None:
    plan = reconcile(snapshot(of=finetune_job(spec(**changes))))
    assert plan.writes == ()
    assert plan.status.failure is not None
    assert (plan.status.failure.failure_class, plan.status.failure.code) == ("Spec", code)
    assert [w for w in words if w not in plan.status.failure.message + plan.status.failure.hint] == []
    assert said(plan.status, "Accepted") == ("False", code)
    assert [event.reason for event in plan.events] == ["Failed"]


def test_a_profile_that_is_taken_away_does_not_end_a_job_that_runs() -> None:
    going = begun()
    others = SETTINGS.model_copy(update={"profiles": {"other": Profile()}})
    assert reconcile(replace(going, settings=others)).status.phase is not Phase.FAILED
    lost = reconcile(replace(then(going), settings=others, jobs=(), pods=()))
    assert (lost.status.phase, lost.writes) == (Phase.PENDING, ())
    assert said(lost.status, "Accepted") == ("Unknown", "ProfileUnknown")
    assert said(lost.status, "Progressing") == ("False", "ProfileUnknown")


def test_nor_a_job_that_gave_its_job_back_before_it_had_a_pod() -> None:
    """Suspended while it was queued: there is neither Job nor attempt."""
    queued = then(snapshot(of=finetune_job(spec(compute={"profile": "default", "queue": "lq"}))), job(suspend=True))
    suspended = then(replace(with_policy(then(queued), suspend=True), jobs=()))
    others = SETTINGS.model_copy(update={"profiles": {"other": Profile()}})
    assert reconcile(replace(suspended, settings=others)).status.phase is Phase.SUSPENDED


def check(**changes: object) -> object:
    return job(**{"name": "movies-8f14e45f-check", "uid": "check-1", "mode": "Validate", **changes})


def test_gpus_are_taken_only_after_a_check() -> None:
    start = snapshot(of=finetune_job(spec(compute=GPU)))
    plan = reconcile(start)
    (created,) = plan.writes
    assert isinstance(created, CreateJob)
    assert created.manifest["metadata"]["name"] == "movies-8f14e45f-check"
    limits = created.manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert "nvidia.com/gpu" not in limits
    assert plan.status.phase is Phase.VALIDATING
    good = ended_pod(0, termination(artifacts={}, data="451 train rows"), owner_uid="check-1")
    checked = reconcile(then(start, check(), good, now=after(30)))  # type: ignore[arg-type]
    (training,) = checked.writes
    assert isinstance(training, CreateJob)
    assert training.manifest["metadata"]["name"] == "movies-8f14e45f"
    assert said(checked.status, "DataReady") == ("True", "Validated")
    assert checked.status.attempts == []


def test_a_check_that_fails_ends_the_job_before_a_gpu_is_taken() -> None:
    start = snapshot(of=finetune_job(spec(compute=GPU)))
    bad = ended_pod(65, failure("Data", "ColumnMissing"), owner_uid="check-1")
    plan = reconcile(then(start, check(), bad, now=after(30)))  # type: ignore[arg-type]
    assert plan.writes == ()
    assert plan.status.failure is not None
    assert plan.status.failure.code == "ColumnMissing"
    assert said(plan.status, "DataReady") == ("False", "ColumnMissing")


def test_a_check_stays_passed_though_its_job_is_gone() -> None:
    start = snapshot(of=finetune_job(spec(compute=GPU)))
    good = ended_pod(0, termination(), owner_uid="check-1")
    checked = then(then(start, check(), good), now=after(60))  # type: ignore[arg-type]
    (training,) = reconcile(replace(checked, jobs=(), pods=())).writes
    assert isinstance(training, CreateJob)
    assert training.manifest["metadata"]["name"] == "movies-8f14e45f"


def test_newer_figures_wait_and_transitions_do_not() -> None:
    going = begun()
    live = told(going.pods[0], phase=Phase.TRAINING, progress=Progress(step=1, total_steps=99))
    told_once = then(going, live=live)
    told_once = then(told_once)
    soon = still_says(told_once, 5, progress=Progress(step=2, total_steps=99))
    assert reconcile(soon).status == status_of(soon)
    assert reconcile(soon).again_at == after(10)
    flips = still_says(told_once, 5, phase=Phase.EVALUATING)
    assert reconcile(flips).status == status_of(flips)
    later = still_says(told_once, 10, progress=Progress(step=3, total_steps=99))
    shown = reconcile(later).status.progress
    assert shown is not None
    assert shown.step == 3
    outcome = replace(soon, pods=(ended_pod(0, termination()),))
    assert reconcile(outcome).status.phase is Phase.SUCCEEDED


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    plan = reconcile(snapshot(of=finetune_job(deleting=True)))
    assert (plan.writes, plan.events, plan.poll) == ((), (), None)


def test_that_training_begins_is_told_at_once() -> None:
    going = begun()
    loading = then(going, live=told(going.pods[0], phase=Phase.STARTING, doing="tokenising 10%", data="451 rows"))
    trains = still_says(then(loading), 1, phase=Phase.TRAINING, doing="")
    plan = reconcile(trains)
    assert plan.status.phase is Phase.TRAINING
    assert [event.reason for event in plan.events] == ["TrainingStarted"]


def test_a_training_job_needs_no_check_though_the_status_is_gone() -> None:
    plan = reconcile(snapshot(job(), running_pod(), of=finetune_job(spec(compute=GPU))))
    assert plan.writes == ()
    assert plan.status.phase is Phase.STARTING
