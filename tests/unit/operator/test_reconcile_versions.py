"""CRD, operator and trainer of other versions: what runs is not ended, and what succeeded does not count as failed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from snapshots import (
    UID,
    after,
    begun,
    ended,
    ended_pod,
    finetune_job,
    job,
    reconcile,
    running_pod,
    said,
    snapshot,
    spec,
    status_of,
    stored,
    termination,
    then,
)

from finetune_api.pod import RUN_ANNOTATION
from finetune_api.renamed import current_names
from finetune_api.run_file import JobIdentity, Mode
from finetune_api.spec import Spec
from finetune_api.status import Phase
from finetune_operator.codec import read_run_file, written_status
from finetune_operator.manifests.job_inputs import JobInputs, run_file_json
from finetune_operator.plan import CreateJob, DeleteFineTuneJob, PatchJob, Snapshot
from finetune_operator.records import Json

FIRST = Path(__file__).parents[2] / "data" / "first_version"
STATUSES = json.loads((FIRST / "statuses.json").read_text())
RUN_FILES = json.loads((FIRST / "run_files.json").read_text())


def newer(some: Snapshot, **blocks: Json) -> Snapshot:
    """The world once a newer CRD shows more in blocks of the spec."""
    changed = {name: {**some.finetune_job.spec.get(name, {}), **more} for name, more in blocks.items()}
    return replace(some, finetune_job=replace(some.finetune_job, spec={**some.finetune_job.spec, **changed}))


ORDERED = json.dumps(RUN_FILES["train"])
"""The run file in the annotation of the world's Job."""


def test_a_field_of_a_newer_crd_changes_nothing_for_a_job_that_runs() -> None:
    going = begun(training={"epochs": 2})
    plan = reconcile(newer(going, training={"sequenceParallel": "Auto"}))
    assert (plan.status.phase, plan.writes) == (Phase.STARTING, ())
    assert said(plan.status, "Accepted") == ("True", "SpecAccepted")
    assert [(event.reason, "spec.training.sequenceParallel" in event.message) for event in plan.events] == [
        ("FieldsIgnored", True)
    ]
    assert reconcile(stored(newer(going, training={"sequenceParallel": "Auto"}), plan)).events == (), "said once"


def test_a_switch_of_a_newer_crd_that_is_off_is_not_worth_a_word() -> None:
    plan = reconcile(newer(begun(training={"epochs": 2}), training={"sequenceParallel": False}))
    assert plan.events == ()
    assert plan.status == status_of(begun(training={"epochs": 2}))


def test_a_job_under_a_newer_crd_is_started_without_what_nobody_here_knows() -> None:
    plan = reconcile(
        newer(snapshot(of=finetune_job(spec(training={"epochs": 2}))), training={"sequenceParallel": "Auto"})
    )
    (created,) = plan.writes
    assert isinstance(created, CreateJob)
    run = json.loads(created.manifest["spec"]["template"]["metadata"]["annotations"][RUN_ANNOTATION])
    assert run["spec"]["training"] == {"epochs": 2}
    assert "spec.training.sequenceParallel" in plan.status.conditions[0].message


def test_a_word_that_can_not_be_read_lets_the_job_go_on_by_its_run_file() -> None:
    going = newer(begun(), method={"type": "Hypernetwork"})
    first = reconcile(going)
    assert first.needs_run_file == "movies-8f14e45f"
    plan = reconcile(replace(going, run_file=ORDERED))
    assert (plan.needs_run_file, plan.writes, plan.status.phase) == ("", (), Phase.STARTING)
    assert said(plan.status, "Accepted") == ("Unknown", "SpecUnreadable")
    assert "spec.method.type" in plan.status.conditions[0].message
    assert [event.reason for event in plan.events] == ["SpecUnreadable"]
    over = job(conditions=ended("Complete"))
    done = reconcile(then(replace(going, run_file=ORDERED), over, ended_pod(0, termination())))
    assert done.status.phase is Phase.SUCCEEDED
    assert said(done.status, "Accepted") == ("True", "SpecAccepted")


def test_it_follows_its_run_policy_still() -> None:
    going = newer(begun(), method={"type": "Hypernetwork"}, runPolicy={"suspend": True, "patience": "long"})
    (write,) = reconcile(replace(going, run_file=ORDERED)).writes
    assert isinstance(write, PatchJob)
    assert write.patch["spec"]["suspend"] is True


def test_without_a_run_file_it_waits_for_an_operator_that_can_read_it() -> None:
    going = newer(begun(), method={"type": "Hypernetwork"})
    plan = reconcile(replace(going, run_file=""))
    assert (plan.writes, plan.status.phase) == ((), Phase.STARTING)
    assert said(plan.status, "Accepted") == ("Unknown", "SpecInvalid")
    lost = reconcile(then(replace(going, run_file="", jobs=(), pods=())))
    assert (lost.writes, lost.status.phase, lost.needs_run_file) == ((), Phase.PENDING, "")
    assert said(lost.status, "Progressing") == ("False", "SpecInvalid")


def test_training_follows_a_check_by_the_run_file_of_the_check() -> None:
    gpu = {"compute": {"profile": "gpu", "gpusPerNode": 1}}
    check = job(name="movies-8f14e45f-check", uid="check-1", mode="Validate", conditions=ended("Complete"))
    start = then(snapshot(of=finetune_job(spec(**gpu))), check, ended_pod(0, owner_uid="check-1"))
    inputs = JobInputs(
        Spec.model_validate(spec(**gpu)), JobIdentity(name="movies", namespace="team", uid=UID), Mode.VALIDATE,
        start.settings.profiles["gpu"], start.settings,
    )  # fmt: skip
    unread = newer(start, method={"type": "Hypernetwork"})
    assert reconcile(unread).needs_run_file == "movies-8f14e45f-check"
    (write,) = reconcile(replace(unread, run_file=run_file_json(inputs))).writes
    assert isinstance(write, CreateJob)
    assert write.manifest["metadata"]["name"] == "movies-8f14e45f"


@pytest.mark.parametrize("name", RUN_FILES)
def test_run_files_of_the_first_version_are_read(name: str) -> None:
    read = read_run_file(json.dumps(RUN_FILES[name]), finetune_job({"runPolicy": {"suspend": True}}))
    assert read is not None
    given = current_names(Spec, RUN_FILES[name]["spec"])
    assert read == Spec.model_validate({**given, "runPolicy": {"suspend": True}})


# Statuses of others.


@pytest.mark.parametrize("name", STATUSES)
def test_a_status_of_the_first_version_is_gone_on_from(name: str) -> None:
    """Whatever phase the upgrade meets a job in, its counts and its end stay."""
    kept = STATUSES[name]
    jobs = [job(name=child, uid=uid, mode=mode) for child, uid, mode in kept["jobs"]]
    pods = [running_pod(name=a["pod"], owner_uid=kept["jobs"][0][1]) for a in kept["status"].get("attempts", [])]
    met = snapshot(*jobs, *pods, of=finetune_job(kept["spec"], status=kept["status"]), now=after(30))
    plan = reconcile(met)
    assert plan.status.failure == status_of(met).failure
    assert (plan.status.phase in ("Failed", "GateFailed")) == (name in ("Failed", "GateFailed"))
    assert plan.status.attempts[: len(status_of(met).attempts)] == status_of(met).attempts or name == "Training"
    if name in ("Succeeded", "Failed", "GateFailed"):
        assert written_status(met.finetune_job, plan.status) == kept["status"]


def test_a_job_that_a_newer_version_has_ended_in_its_own_way_stays_ended() -> None:
    over = {"phase": "Cancelled", "completionTime": "2026-11-21T12:00:00Z", "verdict": {"by": "alice"}}
    met = snapshot(job(), running_pod(), of=finetune_job(spec(runPolicy={"ttlSecondsAfterFinished": 60}), status=over))
    plan = reconcile(met)
    assert not any(isinstance(write, CreateJob) for write in plan.writes)
    assert over.items() <= written_status(met.finetune_job, plan.status).items()
    assert reconcile(replace(met, now=after(60))).writes == (DeleteFineTuneJob(UID),)


def test_a_write_leaves_what_it_does_not_know_as_it_is() -> None:
    going = begun()
    newer_status = {
        **going.finetune_job.status,
        "carbon": {"grams": 7},
        "artifacts": {"model": "s3://m", "licence": "MIT"},
    }
    met = replace(going, finetune_job=replace(going.finetune_job, status=newer_status))
    assert written_status(met.finetune_job, reconcile(met).status) == newer_status, "nothing to write at all"
    end: dict[str, Any] = {"conditions": ended("Complete")}
    done = reconcile(replace(met, jobs=(job(**end),), pods=(ended_pod(0, termination()),)))
    written = written_status(met.finetune_job, done.status)
    assert (written["phase"], written["carbon"]) == ("Succeeded", {"grams": 7})
    assert written["artifacts"]["digest"], "what it changes, it writes whole"
