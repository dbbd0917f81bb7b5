"""Jobs and pods that only claim to be ours: whoever may create Jobs can't write a status with them."""

from dataclasses import replace

import pytest
from snapshots import (
    NOW,
    after,
    begun,
    ended_pod,
    finetune_job,
    job,
    on_gpu,
    running_pod,
    snapshot,
    spec,
    status_of,
    stored,
    termination,
    then,
)

from finetune_api.status import Child, Phase
from finetune_operator.codec import status_json
from finetune_operator.lifecycle.children import with_child
from finetune_operator.plan import CreateJob, DeletePod, RestoreLabels, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ChildJobRecord

FORGED = ended_pod(0, termination(), owner_uid="forged")


def forged(**changes: str) -> ChildJobRecord:
    return job(uid="forged", **changes)


def waiting() -> Snapshot:
    """A job for which nothing was created yet, as its own status says."""
    some = replace(snapshot(of=finetune_job(spec(runPolicy={"suspend": True}))), now=after(1))
    return stored(some, reconcile(some))


@pytest.mark.parametrize("name", ["mine", "movies-8f14e45f", "movies-8f14e45f-check"])
@pytest.mark.parametrize("mode", ["Train", "Validate"])
def test_a_job_that_the_operator_did_not_make_says_nothing(name: str, mode: str) -> None:
    for before in (begun(), waiting()):
        with_it = replace(before, jobs=(*before.jobs, forged(name=name, mode=mode)), pods=(*before.pods, FORGED))
        assert reconcile(with_it).status == reconcile(before).status


def test_nor_does_a_forged_check_let_a_job_have_its_gpus() -> None:
    some = snapshot(of=on_gpu())
    check = forged(mode="Validate", conditions=())
    plan = reconcile(replace(some, jobs=(check,), pods=(FORGED,)))
    assert plan.status.phase is Phase.VALIDATING
    assert [write.manifest["metadata"]["name"] for write in plan.writes if isinstance(write, CreateJob)] == [check.name]


def test_the_status_tells_the_jobs_that_were_made() -> None:
    children = status_of(begun()).children
    assert children == [Child(name="movies-8f14e45f", uid="job-1")]
    again = with_child(status_of(begun()), "movies-8f14e45f", "job-2")
    assert again.children == [Child(name="movies-8f14e45f", uid="job-2")]


def of_older_version(some: Snapshot) -> Snapshot:
    """The world whose status was written before Jobs were recorded, and an operator that has just begun."""
    status = {name: value for name, value in some.finetune_job.status.items() if name != "children"}
    return replace(some, finetune_job=replace(some.finetune_job, status=status), created=frozenset())


def test_a_job_that_an_older_version_made_goes_on_and_is_recorded_with_what_comes_next() -> None:
    older = of_older_version(begun())
    assert reconcile(older).writes == ()
    assert status_json(reconcile(older).status) == older.finetune_job.status, "an upgrade writes to no job"
    ended = replace(older, pods=(ended_pod(0, termination()),), now=after(60))
    plan = reconcile(ended)
    assert plan.status.phase is Phase.SUCCEEDED
    assert plan.status.children == [Child(name="movies-8f14e45f", uid="job-1")]


def test_after_a_restart_the_status_tells_which_job_is_ours() -> None:
    restarted = replace(begun(), created=frozenset())
    assert reconcile(restarted).writes == ()
    assert reconcile(restarted).poll is not None


def test_a_job_that_is_not_seen_gets_its_labels_back_while_its_pod_runs() -> None:
    unseen = replace(begun(), jobs=())
    plan = reconcile(unseen)
    assert [type(write) for write in plan.writes] == [RestoreLabels]
    assert plan.status.attempts[0].reason == ""
    assert plan.status.phase is status_of(begun()).phase


def test_nothing_starts_beside_a_pod_that_saves_though_its_job_was_deleted() -> None:
    saving = running_pod(deleting=True, deletion_deadline=after(300))
    gone = replace(begun(), jobs=(), pods=(saving,))
    plan = reconcile(gone)
    assert plan.writes == ()
    assert plan.status.attempts[0].reason == ""
    ended = then(gone)
    over = reconcile(replace(ended, pods=(ended_pod(85, deleting=True),), now=after(90)))
    assert [type(write) for write in over.writes] == [CreateJob]
    assert (over.status.failures, over.status.preemptions) == (0, 1)


@pytest.mark.parametrize("owner", ["job-1", ""])
def test_a_pod_whose_job_was_deleted_without_it_ends_before_another_starts(owner: str) -> None:
    """`kubectl delete job --cascade=orphan` takes the pod's owner away as well."""
    orphan = running_pod(owner_uid=owner)
    some = replace(begun(), jobs=(), pods=(orphan,), vanished=frozenset({"job-1"}))
    assert reconcile(some).writes == (DeletePod(orphan.name, orphan.uid),)


def test_a_pod_of_a_stranger_is_no_orphan() -> None:
    stranger = running_pod(name="other", owner_uid="")
    some = replace(begun(), pods=(*begun().pods, stranger), now=NOW)
    assert reconcile(some).writes == ()
