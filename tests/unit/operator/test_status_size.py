"""The status stays below 16 KiB and keeps what matters most, whatever trainers and kubelets say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import DIGEST, NOW, after, begun, ended_pod, ended_well, failure, job, snapshot, then, told, waiting_pod

from finetune_api.outcome import Artifacts, Best, EvaluationResult, FailureInfo, GateResult, Progress
from finetune_api.parent import MOST_PARENTS, Parent
from finetune_api.status import Attempt, CheckpointInfo, Condition, Phase, Status, Summary
from finetune_operator.codec import status_json
from finetune_operator.lifecycle.policies.dependency_failures import PARENTS_BYTES
from finetune_operator.lifecycle.report.status_size import STATUS_BYTES, bounded, size
from finetune_operator.reconcile import reconcile


@st.composite
def statuses(draw: st.DrawFn) -> Status:
    """Statuses in which any part may be as long as its type allows, in letters of one to four bytes."""
    letter = draw(st.sampled_from(["a", "語", "🙂", '"', "é"]))

    def words(most: int) -> str:
        return letter * draw(st.sampled_from([most, most, most // 3, 0]))

    def count(most: int) -> range:
        return range(draw(st.sampled_from([most, most, most // 2, 1, 0])))

    def metrics() -> dict[str, float]:
        stem = words(200)
        return {f"{stem}{n}": n / 3 for n in count(64)}

    text, uri = words(1024), words(1400)
    attempt = Attempt(number=1, pod="p" * 63, reason="R" * 128, exit_code=1, started=NOW, ended=NOW)
    condition = Condition(type="Progressing", status="True", last_transition_time=NOW, reason="R" * 128, message=text)
    gate = GateResult(metric=words(320), limit=words(128), passed=draw(st.booleans()))
    return Status(
        phase=draw(st.sampled_from(Phase)),
        conditions=[condition for _ in count(7)],
        attempts=[attempt.model_copy(update={"number": n + 1}) for n in count(16)],
        progress=Progress(loss=0.1, updated_at=NOW),
        summary=Summary(progress=words(128), loss=words(128), metric=words(128), eta=words(128)),
        evaluation=EvaluationResult(
            metrics=metrics(),
            baseline=metrics(),
            few_shot=metrics(),
            remark=words(512),
            gates=[gate for _ in count(32)],
            best=Best(step=1, metric=words(128), value=0.5),
        ),
        checkpoints=[CheckpointInfo(step=n, uri=uri, digest=DIGEST) for n in count(16)],
        artifacts=Artifacts(model=uri, report=uri, predictions=uri, digest=DIGEST),
        failure=FailureInfo(failure_class="Data", code=words(128), message=text, hint=text),
    )


@settings(max_examples=50, deadline=None)
@given(status=statuses(), name=st.sampled_from(["a" * 63, "a"]), count=st.integers(1, MOST_PARENTS))
def test_results_to_start_from_stay_whole_until_the_end(status: Status, name: str, count: int) -> None:
    one = Parent(name=name, uid="u" * 36, output="s3://models/", digest=DIGEST, secret_ref={"name": "credentials"})
    room = PARENTS_BYTES // count - len(one.model_dump_json(by_alias=True, exclude_none=True))
    parents = [one.model_copy(update={"output": one.output + "x" * min(room, 1388)})] * count
    assert sum(len(each.model_dump_json(by_alias=True, exclude_none=True)) for each in parents) <= PARENTS_BYTES
    ended = status.phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.GATE_FAILED)
    artifacts = status.artifacts if ended else None
    kept = bounded(status.model_copy(update={"parents": parents, "artifacts": artifacts}))
    assert size(kept) <= STATUS_BYTES
    assert [parent.digest for parent in kept.parents] == [DIGEST] * count
    assert ended or kept.parents == parents


@settings(max_examples=150, deadline=None)
@given(status=statuses())
def test_any_status_is_cut_until_it_fits(status: Status) -> None:
    kept = bounded(status)
    assert size(kept) <= STATUS_BYTES
    assert Status.model_validate(status_json(kept)).phase is status.phase
    assert bounded(kept) == kept
    assert kept.artifacts is not None
    assert kept.artifacts.digest == DIGEST
    assert [c.type for c in kept.conditions] == [c.type for c in status.conditions]


def test_the_longest_names_fit() -> None:
    uri = "🙂" * 1400
    artifacts = Artifacts(model=uri, report=uri, predictions=uri, digest=DIGEST)
    kept = bounded(Status(artifacts=artifacts, checkpoints=[CheckpointInfo(step=n, uri=uri) for n in range(16)]))
    assert size(kept) <= STATUS_BYTES
    assert kept.artifacts is not None
    assert (kept.artifacts.model, kept.artifacts.digest) == (uri, DIGEST)


def test_a_small_status_is_left_as_it_is() -> None:
    status = Status(evaluation=EvaluationResult(metrics={"recall.billing": 0.5}))
    assert bounded(status) is status


def test_figures_per_class_go_first() -> None:
    per_class = {f"recall.{'x' * 200}{n}": 0.5 for n in range(62)}
    status = Status(evaluation=EvaluationResult(metrics={"accuracy": 0.9, **per_class}, baseline=per_class))
    kept = bounded(status).evaluation
    assert kept is not None
    assert kept.metrics == {"accuracy": 0.9}


noise = st.text(max_size=3000) | st.binary(max_size=2000).map(lambda raw: raw.decode("utf-8", "replace"))


@settings(max_examples=150, deadline=None)
@given(text=noise, code=st.integers(0, 255))
def test_whatever_a_container_leaves_behind_makes_a_valid_status(text: str, code: int) -> None:
    status = reconcile(then(begun(), job(), ended_pod(code, text), now=after(60))).status
    assert status.phase is not Phase.SUCCEEDED
    assert size(status) <= STATUS_BYTES
    assert Status.model_validate(status_json(status)) == status
    for condition in status.conditions:
        assert condition.message.isprintable()


@settings(max_examples=50, deadline=None)
@given(text=noise)
def test_whatever_a_kubelet_says_makes_a_valid_status(text: str) -> None:
    for reason in ("ErrImagePull", "CreateContainerError", "ContainerCreating"):
        status = reconcile(then(snapshot(), job(), waiting_pod(reason, text), now=after(60))).status
        assert Status.model_validate(status_json(status)) == status


@pytest.mark.parametrize("message", ["x" * 1024, "語" * 1024, "a\nb\tc\x00d\x1b[31m"])
def test_a_trainer_s_words_are_one_clean_line(message: str) -> None:
    plan = reconcile(then(begun(), job(), ended_pod(65, failure("Data", "Column Missing!", message)), now=after(60)))
    assert plan.status.failure is not None
    assert plan.status.failure.message.isprintable()
    assert plan.status.failure.code in {"ColumnMissing", "DataUnreadable"}  # too long for a message: the exit code


def test_an_unknown_class_of_failure_is_a_defect_and_retried() -> None:
    plan = reconcile(then(begun(), job(), ended_pod(70, failure("Weather", "Rain")), now=after(60)))
    assert plan.status.failures == 1
    assert plan.status.phase is Phase.STARTING


def test_what_another_job_s_pod_tells_is_ignored() -> None:
    going = begun()
    live = told(going.pods[0], uid="someone-else", phase=Phase.TRAINING, progress=Progress(step=9, total_steps=10))
    plan = reconcile(then(going, live=live))
    assert plan.status.progress is None
    assert plan.status.phase is Phase.STARTING


def test_a_stored_status_that_can_not_be_read_is_read_as_far_as_it_can() -> None:
    done = then(ended_well())
    odd = {**done.finetune_job.status, "checkpoints": "none", "future": 1}
    object.__setattr__(done.finetune_job, "status", odd)
    assert reconcile(done).status.phase is Phase.SUCCEEDED
