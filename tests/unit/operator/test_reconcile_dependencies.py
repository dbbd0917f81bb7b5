"""`finetunejob://name` in a spec: who waits for whom, what is taken over, and what can't be."""

from dataclasses import replace
from typing import Any

import pytest
from snapshots import (
    DIGEST,
    SETTINGS,
    after,
    failed_with,
    finetune_job,
    said,
    snapshot,
    spec,
    status_of,
    then,
    with_policy,
)

from finetune_api.outcome import Artifacts, FailureInfo
from finetune_api.parent import Parent
from finetune_api.pod import RUN_ANNOTATION
from finetune_api.run_file import RunFile
from finetune_api.spec import Spec
from finetune_api.status import Phase, Status
from finetune_operator.codec import status_json
from finetune_operator.manifests import sources
from finetune_operator.plan import CreateJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import FineTuneJobRecord

BASE_UID = "11111111-0000-0000-0000-000000000000"
FROM_BASE = {"model": {"uri": "finetunejob://base"}, "runPolicy": {"preRunningDeadlineSeconds": 900}}
OUTPUT = {"uri": "pvc://results/runs/", "secretRef": {"name": "base-credentials"}}


def base(phase: Phase, uid: str = BASE_UID, **facts: Any) -> FineTuneJobRecord:
    status = status_json(Status(phase=phase, **facts))
    return finetune_job(spec(output=OUTPUT), name="base", uid=uid, status=status)


def done(**changes: Any) -> FineTuneJobRecord:
    artifacts = Artifacts(model="pvc://results/runs/base/uid/model", digest=DIGEST)
    return base(Phase.SUCCEEDED, **{"artifacts": artifacts, **changes})


def child(*parents: FineTuneJobRecord, **blocks: Any) -> Snapshot:
    return snapshot(of=finetune_job(spec(**{**FROM_BASE, **blocks})), parents=parents)


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
    moved = replace(waits, parents=(base(Phase.TRAINING),))
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
    found = replace(then(start), now=after(500), parents=(base(Phase.TRAINING),))
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
def test_a_parent_without_a_result_ends_the_job_with_words(parent: FineTuneJobRecord, words: tuple[str, ...]) -> None:
    status = reconcile(child(parent)).status
    assert status.failure is not None
    assert (status.failure.code, status.failure.failure_class) == ("ParentUnusable", "NotFound")
    assert [w for w in words if w not in status.failure.message + status.failure.hint] == []


def test_a_result_is_pinned_before_anything_is_made_from_it() -> None:
    start = child(done())
    plan = reconcile(start)
    assert plan.writes == ()
    pinned_results = Parent(
        name="base", uid=BASE_UID, output=f"pvc://results/runs/base/{BASE_UID}", digest=DIGEST,
        secret_ref={"name": "base-credentials"},
    )  # fmt: skip
    assert plan.status.parents == [pinned_results]
    assert plan.again_at is not None
    assert [event.reason for event in plan.events] == ["Accepted", "ParentFinished"]
    (write,) = reconcile(then(start)).writes
    assert isinstance(write, CreateJob)
    template = write.manifest["spec"]["template"]
    assert RunFile.model_validate_json(template["metadata"]["annotations"][RUN_ANNOTATION]).parents == [pinned_results]
    volumes = template["spec"]["volumes"]
    assert "base-credentials" in [v["secret"]["secretName"] for v in volumes if "secret" in v]
    assert [v["persistentVolumeClaim"] for v in volumes if "persistentVolumeClaim" in v] == [
        {"claimName": "results", "readOnly": True}
    ]
    created = reconcile(then(start))
    assert "with the result of base" in created.events[-1].message


@pytest.mark.parametrize("now", [(), (done(uid="2" * 36),), (base(Phase.FAILED, uid="3" * 36),)])
def test_what_becomes_of_the_parent_later_changes_nothing(now: tuple[FineTuneJobRecord, ...]) -> None:
    taken = then(child(done()))
    plan = reconcile(replace(taken, parents=now))
    assert [parent.uid for parent in plan.status.parents] == [BASE_UID]
    assert [type(write) for write in plan.writes] == [CreateJob]


def test_the_job_s_own_secret_for_the_model_goes_before_the_parent_s() -> None:
    parent = Parent(name="base", uid="1", output="s3://m/base/1", digest=DIGEST, secret_ref={"name": "theirs"})
    own = spec(model={"uri": "finetunejob://base", "secretRef": {"name": "mine"}})
    assert sources.secrets(Spec.model_validate(own), [parent]) == ["mine", "s3-credentials"]
    plain = spec(model={"uri": "finetunejob://base"})
    assert sources.secrets(Spec.model_validate(plain), [parent]) == ["s3-credentials", "theirs"]


def test_jobs_that_wait_for_each_other_are_refused() -> None:
    plan = reconcile(snapshot(of=finetune_job(spec(**FROM_BASE)), cycle=("base", "movies")))
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
    taken = then(replace(start, parents=(done(),)))
    (write,) = reconcile(taken).writes
    assert isinstance(write, CreateJob)
    assert write.manifest["metadata"]["name"].endswith("-check")
    assert SETTINGS.check_profile.max_gpus_per_node == 0


SOURCES = {"merge": {"sources": [{"uri": f"finetunejob://{name}"} for name in ("one", "two", "three")]}}
MERGE = {
    "task": "SequenceClassification",
    "method": {"type": "Merge", **SOURCES},
    "evaluation": {},
    "runPolicy": FROM_BASE["runPolicy"],
}


def other(name: str, phase: Phase = Phase.SUCCEEDED, output: str = "s3://models", **blocks: Any) -> FineTuneJobRecord:
    """One of several parents."""
    facts = {"artifacts": Artifacts(model="s3://m", digest=DIGEST)} if phase is Phase.SUCCEEDED else {}
    made = spec(output={"uri": output}, **blocks)
    return finetune_job(made, name=name, uid=f"uid-of-{name}", status=status_json(Status(phase=phase, **facts)))


def merging(*parents: FineTuneJobRecord, **blocks: Any) -> Snapshot:
    return snapshot(of=finetune_job(spec(**{**MERGE, **blocks})), parents=parents)


def without(before: Snapshot, *names: str) -> Snapshot:
    """As the store has it once the results of these parents are held."""
    return replace(before, parents=tuple(parent for parent in before.parents if parent.name not in names))


def test_several_parents_are_pinned_one_by_one_as_they_end() -> None:
    start = merging(other("one", Phase.TRAINING), other("two"), other("three", Phase.QUEUED))
    plan = reconcile(start)
    assert plan.writes == ()
    assert [parent.name for parent in plan.status.parents] == ["two"]
    assert [event.reason for event in plan.events] == ["Accepted", "ParentNotFinished", "ParentFinished"]
    assert "FineTuneJob one, which runs, and FineTuneJob three, which is Queued" in plan.events[1].message
    waits = without(then(start), "two")
    plan = reconcile(waits)
    progressing = next(c for c in plan.status.conditions if c.type == "Progressing")
    assert progressing.message.endswith("; has 1 of 3 results")
    assert plan.events == ()
    ended = replace(waits, parents=(other("one"), other("three")))
    plan = reconcile(ended)
    assert [parent.name for parent in plan.status.parents] == ["one", "two", "three"], "in the order of the spec"
    assert [event.message[:33] for event in plan.events] == [
        "takes the result of FineTuneJob o",
        "takes the result of FineTuneJob t",
    ]
    plan = reconcile(replace(then(ended), parents=()))
    (write,) = plan.writes
    assert isinstance(write, CreateJob)
    run = write.manifest["spec"]["template"]["metadata"]["annotations"][RUN_ANNOTATION]
    assert [parent.uid for parent in RunFile.model_validate_json(run).parents] == [
        "uid-of-one",
        "uid-of-two",
        "uid-of-three",
    ]
    assert plan.events[-1].message.endswith("with the results of one, two, three")


def test_a_parent_that_goes_after_its_result_was_taken_is_not_missed() -> None:
    start = merging(other("one"), other("two", Phase.TRAINING), other("three"))
    gone = replace(then(start), parents=(other("two"),), now=after(10**6))
    assert [parent.name for parent in reconcile(gone).status.parents] == ["one", "two", "three"]


@pytest.mark.causes("ParentUnusable")
def test_one_parent_that_failed_ends_the_job_though_others_run_or_are_missing() -> None:
    status = reconcile(merging(other("one", Phase.TRAINING), other("three", Phase.FAILED))).status
    assert status.failure is not None
    assert "FineTuneJob three failed" in status.failure.message
    assert "spec.method.merge.sources[2].uri" in status.failure.hint


@pytest.mark.causes("ParentUnusable")
def test_the_missing_one_of_several_is_named_with_its_field() -> None:
    start = merging(other("one"), other("three", Phase.TRAINING))
    plan = reconcile(start)
    assert [parent.name for parent in plan.status.parents] == ["one"]
    assert said(plan.status, "Progressing") == ("False", "ParentMissing")
    words = plan.events[-2].message + plan.events[-1].message
    assert "no FineTuneJob two" in words
    assert "spec.method.merge.sources[1].uri" in words
    late = replace(without(then(start), "one"), now=after(900))
    assert failed_with(late) == "ParentUnusable"


def test_a_reward_model_is_waited_for_like_a_base_model() -> None:
    reward = {"training": {"policy": {"reward": {"type": "Model", "uri": "finetunejob://judge"}}}}
    blocks = {"task": "PolicyOptimization", "evaluation": {"metric": "meanReward"}, **reward}
    job = finetune_job(spec(model={"uri": "finetunejob://writer"}, **blocks))
    start = snapshot(of=job, parents=(other("writer"), other("judge", Phase.TRAINING)))
    plan = reconcile(start)
    assert [parent.name for parent in plan.status.parents] == ["writer"]
    failed = reconcile(replace(start, parents=(other("judge", Phase.FAILED),))).status.failure
    assert failed is not None
    assert "spec.training.policy.reward.uri" in failed.hint


def test_a_name_that_stands_twice_is_one_parent() -> None:
    twice = {"method": {"type": "Merge", "merge": {"sources": [{"uri": "finetunejob://one"}, {"uri": "s3://a/b"}]}}}
    start = merging(other("one"), model={"uri": "finetunejob://one"}, **twice)
    assert [parent.name for parent in reconcile(start).status.parents] == ["one"]
    assert [type(write) for write in reconcile(then(start)).writes] == [CreateJob]


def test_what_an_adapter_stands_on_is_mounted_too() -> None:
    """The base of an adapter, and the base of that one, may be on claims, or need a Secret of their own."""
    first = other("one", model={"uri": "pvc://bases/bert"}, output="pvc://first")
    (one,) = reconcile(
        snapshot(of=finetune_job(spec(model={"uri": "finetunejob://one"})), parents=(first,))
    ).status.parents
    assert [base.uri for base in one.bases] == ["pvc://bases/bert"]
    second = other("two", model={"uri": "finetunejob://one", "secretRef": {"name": "reader"}})
    second = replace(second, status={**second.status, "parents": [one.model_dump(mode="json", by_alias=True)]})
    third = other("three", model={"uri": "s3://hub/bert", "secretRef": {"name": "hub"}})
    start = merging(other("one", model={"uri": "hf://open/model"}), second, third)
    (write,) = reconcile(then(start)).writes
    assert isinstance(write, CreateJob)
    volumes = write.manifest["spec"]["template"]["spec"]["volumes"]
    secrets = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert secrets == ["hub", "reader", "s3-credentials"]
    claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
    assert claims == [{"claimName": name, "readOnly": True} for name in ("bases", "first")]


@pytest.mark.parametrize(
    "changes", [{"method": {"type": "Full"}}, {"output": {"uri": "s3://models", "mergeAdapter": True}}]
)
def test_a_whole_model_stands_on_nothing(changes: dict[str, Any]) -> None:
    """A claim that is not needed could be gone, and the pod would wait for it for ever."""
    done = other("one")
    done = replace(done, spec={**spec(model={"uri": "pvc://bases/bert"}), **changes})
    (one,) = reconcile(
        snapshot(of=finetune_job(spec(model={"uri": "finetunejob://one"})), parents=(done,))
    ).status.parents
    assert one.bases == []


@pytest.mark.causes("ParentUnusable")
def test_more_than_a_status_can_hold_is_refused_with_words() -> None:
    names = [f"number-{number}" for number in range(8)]
    sources = {"sources": [{"uri": f"finetunejob://{name}"} for name in names]}
    far = [other(name, output=f"s3://models/{'x' * 1000}") for name in names]
    status = reconcile(merging(*far, method={"type": "Merge", "merge": sources})).status
    assert status.failure is not None
    assert status.failure.code == "ParentUnusable"
    assert "at most 8192 fit" in status.failure.message


def test_sixteen_sources_in_a_bucket_fit() -> None:
    """As most people have them: base and results in one store, opened with one Secret."""
    secret = {"secretRef": {"name": "s3-credentials"}}
    names = [f"support-tickets-{number:02}" for number in range(16)]
    sources = {"sources": [{"uri": f"finetunejob://{name}"} for name in names]}
    there = {"uri": f"s3://a-bucket-of-the-team/models/{'x' * 60}", **secret}
    done = [other(name, model={"uri": "s3://a-bucket-of-the-team/models/base", **secret}) for name in names]
    done = [replace(each, uid=BASE_UID, spec={**each.spec, "output": there}) for each in done]
    status = reconcile(merging(*done, method={"type": "Merge", "merge": sources})).status
    assert [parent.name for parent in status.parents] == names
    assert status.parents[0].bases == [], "the Secret of its output opens its base, too"
