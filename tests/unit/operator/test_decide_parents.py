"""`model.uri: finetunejob://name`: who waits for whom, what is taken over, and what can't be."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import DIGEST, SETTINGS, after, failed_with, said, spec, status_of, then, tune, with_policy, world

from finetune_api.job import Spec
from finetune_api.outcome import Artifacts, FailureInfo
from finetune_api.parent import Parent
from finetune_api.pod import RUN_ANNOTATION
from finetune_api.run_file import RunFile
from finetune_api.status import Phase, Status
from finetune_operator.manifests import sources
from finetune_operator.parsed import status_json
from finetune_operator.plan import CreateJob, World
from finetune_operator.reconcile import reconcile
from finetune_operator.records import TuneRecord

BASE_UID = "11111111-0000-0000-0000-000000000000"
FROM_BASE = {"model": {"uri": "finetunejob://base"}, "runPolicy": {"preRunningDeadlineSeconds": 900}}
OUTPUT = {"uri": "pvc://results/runs/", "secretRef": {"name": "base-credentials"}}


def base(phase: Phase, uid: str = BASE_UID, **facts: Any) -> TuneRecord:
    status = status_json(Status(phase=phase, **facts))
    return tune(spec(output=OUTPUT), name="base", uid=uid, status=status)


def done(**changes: Any) -> TuneRecord:
    artifacts = Artifacts(model="pvc://results/runs/base/uid/model", digest=DIGEST)
    return base(Phase.SUCCEEDED, **{"artifacts": artifacts, **changes})


def child(*ancestors: TuneRecord, **blocks: Any) -> World:
    return world(of=tune(spec(**{**FROM_BASE, **blocks})), ancestors=ancestors)


@pytest.mark.parametrize(
    ("phase", "words"),
    [(Phase.PENDING, "is Pending"), (Phase.TRAINING, "runs"), (Phase.SUSPENDED, "is Suspended")],
)
def test_a_job_waits_for_its_parent_and_says_so(phase: Phase, words: str) -> None:
    start = child(base(phase))
    plan = reconcile(start)
    assert plan.writes == ()
    assert plan.status.phase is Phase.PENDING
    assert said(plan.status, "Progressing") == ("True", "ParentNotFinished")
    assert [event.reason for event in plan.events] == ["Accepted", "ParentNotFinished"]
    assert f"FineTuneJob base, which {words}" in plan.events[1].message
    later = reconcile(replace(then(start), now=after(10**6)))
    assert (later.writes, later.events, later.status.phase) == ((), (), Phase.PENDING), "a parent may take its time"


def test_each_step_of_a_parent_is_no_write() -> None:
    waits = then(child(base(Phase.STARTING)))
    moved = replace(waits, ancestors=(base(Phase.TRAINING),))
    assert reconcile(moved).status == status_of(moved)


@pytest.mark.causes("ParentUnusable")
def test_a_parent_that_is_not_there_is_waited_for_as_long_as_a_pod() -> None:
    start = child()
    plan = reconcile(start)
    assert said(plan.status, "Progressing") == ("False", "ParentMissing")
    assert "there is no FineTuneJob base in namespace team" in plan.events[-1].message
    assert plan.again_at is None or plan.again_at <= after(900)
    assert reconcile(replace(then(start), now=after(899))).status.phase is Phase.PENDING
    assert failed_with(replace(then(start), now=after(900))) == "ParentUnusable"
    found = replace(then(start), now=after(500), ancestors=(base(Phase.TRAINING),))
    assert said(reconcile(found).status, "Progressing") == ("True", "ParentNotFinished")


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        (
            base(Phase.FAILED, failure=FailureInfo(failure_class="Data", code="ColumnMissing", message="x")),
            ("failed (ColumnMissing)", "kubectl describe finetunejob base"),
        ),
        (
            base(Phase.GATE_FAILED, artifacts=Artifacts(model="s3://m/base/uid/model", digest=DIGEST)),
            ("missed a gate", "spec.model.uri: s3://m/base/uid/model"),
        ),
        (base(Phase.SUCCEEDED), ("no verified result",)),
    ],
)
def test_a_parent_without_a_result_ends_the_job_with_words(parent: TuneRecord, words: tuple[str, ...]) -> None:
    status = reconcile(child(parent)).status
    assert status.failure is not None
    assert (status.failure.code, status.failure.failure_class) == ("ParentUnusable", "NotFound")
    assert [w for w in words if w not in status.failure.message + status.failure.hint] == []


def test_a_result_is_pinned_before_anything_is_made_from_it() -> None:
    start = child(done())
    plan = reconcile(start)
    assert plan.writes == ()
    pinned = Parent(
        name="base", uid=BASE_UID, output=f"pvc://results/runs/base/{BASE_UID}", digest=DIGEST,
        secret_ref={"name": "base-credentials"},
    )  # fmt: skip
    assert plan.status.parent == pinned
    assert plan.again_at is not None
    assert [event.reason for event in plan.events] == ["Accepted", "ParentFinished"]
    (write,) = reconcile(then(start)).writes
    assert isinstance(write, CreateJob)
    template = write.manifest["spec"]["template"]
    assert RunFile.model_validate_json(template["metadata"]["annotations"][RUN_ANNOTATION]).parent == pinned
    volumes = template["spec"]["volumes"]
    assert "base-credentials" in [v["secret"]["secretName"] for v in volumes if "secret" in v]
    assert [v["persistentVolumeClaim"] for v in volumes if "persistentVolumeClaim" in v] == [
        {"claimName": "results", "readOnly": True}
    ]
    created = reconcile(then(start))
    assert "from the result of base" in created.events[-1].message


@pytest.mark.parametrize("now", [(), (done(uid="2" * 36),), (base(Phase.FAILED, uid="3" * 36),)])
def test_what_becomes_of_the_parent_later_changes_nothing(now: tuple[TuneRecord, ...]) -> None:
    taken = then(child(done()))
    plan = reconcile(replace(taken, ancestors=now))
    assert plan.status.parent is not None
    assert plan.status.parent.uid == BASE_UID
    assert [type(write) for write in plan.writes] == [CreateJob]


def test_the_job_s_own_secret_for_the_model_goes_before_the_parent_s() -> None:
    parent = Parent(name="base", uid="1", output="s3://m/base/1", digest=DIGEST, secret_ref={"name": "theirs"})
    own = spec(model={"uri": "finetunejob://base", "secretRef": {"name": "mine"}})
    assert sources.secrets(Spec.model_validate(own), parent) == ["mine", "s3-credentials"]
    plain = spec(model={"uri": "finetunejob://base"})
    assert sources.secrets(Spec.model_validate(plain), parent) == ["s3-credentials", "theirs"]


def test_jobs_that_wait_for_each_other_are_refused() -> None:
    here = tune(spec(**FROM_BASE))
    there = tune(spec(model={"uri": "finetunejob://movies"}), name="base", uid=BASE_UID)
    plan = reconcile(world(of=here, ancestors=(there, here)))
    assert plan.status.failure is not None
    assert plan.status.failure.code == "SpecInvalid"
    assert "movies -> base -> movies" in plan.status.failure.message


def test_a_suspended_job_does_not_give_up_its_parent() -> None:
    waits = with_policy(child(), suspend=True)
    plan = reconcile(replace(then(waits), now=after(10**6)))
    assert plan.status.phase is Phase.SUSPENDED


def test_a_check_before_gpus_waits_as_well() -> None:
    start = child(base(Phase.TRAINING), compute={"profile": "gpu", "gpusPerNode": 1})
    assert reconcile(start).writes == ()
    taken = then(replace(start, ancestors=(done(),)))
    (write,) = reconcile(taken).writes
    assert isinstance(write, CreateJob)
    assert write.manifest["metadata"]["name"].endswith("-check")
    assert SETTINGS.check_profile.max_gpus_per_node == 0
