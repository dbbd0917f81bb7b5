"""`runPolicy.ttlSecondsAfterFinished`: how long a job that has ended stays, and who keeps it for longer."""

from dataclasses import replace

import pytest
from snapshots import UID, after, ended_well, stored

from finetune_operator.plan import DeleteFineTuneJob, Snapshot
from finetune_operator.reconcile import reconcile


def done(ttl: int) -> Snapshot:
    """A job that has succeeded after a minute."""
    ended = ended_well(runPolicy={"ttlSecondsAfterFinished": ttl})
    return stored(ended, reconcile(ended))


@pytest.mark.parametrize("ttl", [0, 30])
def test_a_job_goes_when_its_time_is_over(ttl: int) -> None:
    some = replace(done(ttl), now=after(60 + ttl))
    assert reconcile(some).writes == (DeleteFineTuneJob(UID),)
    if ttl:
        early = reconcile(replace(some, now=after(60 + ttl - 1)))
        assert early.writes == ()
        assert early.again_at == after(60 + ttl)


@pytest.mark.parametrize("ttl", [0, 30])
def test_a_job_stays_while_others_have_not_taken_its_result(ttl: int) -> None:
    some = replace(done(ttl), now=after(3600), dependents=2)
    plan = reconcile(some)
    assert plan.writes == ()
    assert plan.again_at == after(3602)
    assert reconcile(replace(some, dependents=0)).writes == (DeleteFineTuneJob(UID),)
