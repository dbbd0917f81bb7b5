"""Pods that should have ended and have not: told, and replaced by force only where the job says so."""

from dataclasses import replace

from played_cluster import PlayedCluster
from snapshots import after, begun, finetune_job, said, spec, then, told

from finetune_api.outcome import Progress
from finetune_api.status import Phase
from finetune_operator.plan import DeletePod, FailPod, Snapshot
from finetune_operator.reconcile import reconcile

POD = "movies-8f14e45f-0-aaaaa"


def silent(seconds: float, **policy: object) -> Snapshot:
    """The pod should have ended at 300 s; it is `seconds` now."""
    before = begun(runPolicy={"stallSeconds": 0, **policy})
    stopping = replace(before.pods[0], deleting=True, deletion_deadline=after(300))
    return replace(then(replace(before, pods=(stopping,), now=after(1))), now=after(seconds))


def test_a_pod_that_does_not_end_is_told_with_its_node() -> None:
    assert reconcile(silent(10)).again_at == after(330)
    assert all(c.type != "PodStuckTerminating" for c in reconcile(silent(329)).status.conditions)
    plan = reconcile(silent(330))
    assert said(plan.status, "PodStuckTerminating") == ("True", "NodeSilent")
    assert plan.writes == ()
    (event,) = plan.events
    assert event.type == "Warning"
    for words in (POD, "node node1", "by 12:05:00 UTC", "runPolicy.forceReplaceSeconds"):
        assert words in event.message


def test_nothing_is_replaced_by_force_unless_asked() -> None:
    assert reconcile(silent(10**6)).writes == ()


def test_a_pod_is_replaced_by_force_after_the_time_that_was_set() -> None:
    before = then(silent(330, forceReplaceSeconds=600))
    assert reconcile(before).again_at == after(900)
    assert reconcile(replace(before, now=after(899))).writes == ()
    late = replace(before, now=after(900))
    (write,) = reconcile(late).writes
    assert isinstance(write, FailPod)
    assert (write.name, write.reason) == (POD, "ForcedReplacement")


def test_a_replaced_pod_goes_once_its_end_is_told_and_counts_as_preempted() -> None:
    played = PlayedCluster(finetune_job=finetune_job(spec(runPolicy={"forceReplaceSeconds": 60, "stallSeconds": 0})))
    played.settle()
    played.start(played.at_work()[0])
    played.settle()
    (pod,) = played.running()
    played.live = told(pod, played.now, phase=Phase.TRAINING, progress=Progress(step=3, total_steps=9))
    played.settle()
    played.delete_pod(pod.uid)
    played.settle()
    assert played.pods_made == 1, "the Job waits for it"
    played.pass_time(360)
    assert [type(write) for write in played.operate().writes] == [FailPod]
    plan = played.operate()
    assert plan.writes == ()
    assert plan.status.preemptions == 1
    played.settle()
    assert pod.uid not in played.pods
    assert played.pods_made == 2
    assert (played.status.failures, played.status.preemptions) == (0, 1)
    assert [attempt.reason for attempt in played.status.attempts] == ["Preempted"]
    assert "PodStuckTerminating" not in [event.reason for event in played.events[:1]]


def test_the_condition_goes_when_the_pod_has_gone() -> None:
    stuck = then(silent(330))
    plan = reconcile(replace(stuck, pods=(), now=after(400)))
    assert said(plan.status, "PodStuckTerminating") == ("False", "PodEnded")


def test_only_our_own_choice_is_cleaned_up() -> None:
    """A pod that Kubernetes itself gave up is left to Kubernetes."""
    from snapshots import disrupted

    before = silent(400, forceReplaceSeconds=10**6)
    failed = disrupted(replace(before.pods[0], phase="Failed"))
    gone = then(replace(before, pods=(failed,)))
    assert [write for write in reconcile(gone).writes if isinstance(write, DeletePod)] == []
