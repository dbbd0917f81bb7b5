"""A status write costs the API server more than anything else here: what can wait is told with what comes next."""

from snapshots import after, job, running_pod, said, snapshot, stored, then

from finetune_operator.reconcile import reconcile


def test_that_the_time_has_begun_is_told_with_what_comes_next() -> None:
    start = snapshot()
    told = stored(start, reconcile(start))
    begins = reconcile(then(told, job()))
    assert begins.status.active_since is None, "nothing else is new"
    assert begins.again_at == after(5)
    runs = reconcile(then(told, job(), running_pod()))
    assert runs.status.active_since == job().started


def test_that_the_time_has_begun_is_told_soon_even_if_nothing_comes() -> None:
    start = snapshot()
    told = stored(start, reconcile(start))
    assert reconcile(then(told, job(), now=after(4))).status.active_since is None
    assert reconcile(then(told, job(), now=after(5))).status.active_since == job().started


def test_a_child_that_nobody_was_told_of_is_told_as_created() -> None:
    plan = reconcile(snapshot(job()))
    assert said(plan.status, "Progressing") == ("True", "JobCreated")
    assert [event.message for event in plan.events] == ["Job movies-8f14e45f was created with profile default"]
