"""From `kubectl apply` to the end of a job, on a real API server with its controllers; the tests play the node."""

import json
import re

import pytest
from operator_process import OPERATOR, StartOperator
from played_node import PlayedNode, PlayedTrainer, failure, success, training
from started_job import StartedJob
from tuning import Namespace

from finetune_api.outcome import FailureInfo
from finetune_api.run_file import JobIdentity, Mode
from finetune_operator.manifests.names import child_name


def test_a_job_gets_one_child_that_it_controls(namespace: Namespace, start_operator: StartOperator) -> None:
    uid = namespace.apply()
    start_operator()
    job = namespace.job()
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("FineTuneJob", uid, True)
    status = namespace.until_phase("Starting")
    assert status["observedGeneration"] == 1
    order = json.loads(job["spec"]["template"]["metadata"]["annotations"]["finetune.dev/run"])
    assert order["job"] == {"name": "movies", "namespace": namespace.name, "uid": uid}


def test_progress_moves_and_success_is_told(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    operator = start_operator()
    uid = namespace.apply()
    pod = namespace.pod()
    trainer = PlayedTrainer()
    trainer.tell(training(uid, step=3))
    with trainer.serving("127.0.0.2"):
        node.start(pod, ip="127.0.0.2")
        namespace.until(lambda: namespace.status().get("progress", {}).get("step") == 3, "progress")
        assert namespace.phase() == "Training"
        trainer.tell(training(uid, step=21))
        namespace.until(lambda: namespace.status()["progress"]["step"] == 21, "more progress")
        assert re.search(rf'finetune_job_step{{name="movies",namespace="{namespace.name}"}} 21', operator.metrics())
    node.end(pod, 0, success(uid))
    status = namespace.until_phase("Succeeded")
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Succeeded"]
    assert status["artifacts"]["digest"].startswith("sha256:")
    assert status["completionTime"]
    reasons = namespace.until(lambda: {e["reason"] for e in namespace.objects("events")} >= {"Succeeded"}, "events")
    assert reasons
    figures = operator.metrics()
    assert f'finetune_jobs{{namespace="{namespace.name}",phase="Succeeded"}} 1' in figures
    assert 'finetune_job_attempts_total{reason="Succeeded"} 1' in figures
    assert len(namespace.writes_of(OPERATOR)) <= 9, namespace.writes_of(OPERATOR)


def test_a_failure_is_told_with_its_remedy(namespace: Namespace, node: PlayedNode, started: StartedJob) -> None:
    info = FailureInfo(failure_class="Data", code="ColumnMissing", message="no column 'label'", hint="rename it")
    node.end(started.pod, 65, failure(started.uid, info), reason="Error")
    status = namespace.until_phase("Failed")
    assert status["failure"] == {"class": "Data", "code": "ColumnMissing", "message": info.message, "hint": info.hint}


def test_children_go_with_their_job(namespace: Namespace, start_operator: StartOperator) -> None:
    start_operator()
    namespace.apply()
    namespace.pod()
    namespace.remove("finetunejobs", "movies")
    namespace.until(lambda: not namespace.objects("jobs") and not namespace.objects("pods"), "children collected")
    assert namespace.objects("finetunejobs") == []


@pytest.mark.parametrize("policy", ["Background", "Orphan"])
def test_a_deleted_child_is_made_again(namespace: Namespace, start_operator: StartOperator, policy: str) -> None:
    operator = start_operator()
    namespace.apply()
    first = namespace.job()
    namespace.pod()
    namespace.remove("jobs", first["metadata"]["name"], policy)
    namespace.until(
        lambda: [j["metadata"]["uid"] for j in namespace.objects("jobs")] not in ([], [first["metadata"]["uid"]]),
        "another Job",
    )
    assert namespace.phase() != "Failed", operator.log


def test_a_job_that_ended_while_nobody_watched_is_told(
    namespace: Namespace, node: PlayedNode, started: StartedJob
) -> None:
    started.operator.kill()
    node.end(started.pod, 0, success(started.uid))
    started.operator.start()
    assert namespace.until_phase("Succeeded")["attempts"][0]["number"] == 1


def test_a_namespace_can_go(namespace: Namespace, start_operator: StartOperator) -> None:
    operator = start_operator()
    namespace.apply("one")
    namespace.apply("two")
    namespace.until(lambda: len(namespace.objects("pods")) == 2, "two pods")
    namespace.delete()
    gone = f"/api/v1/namespaces/{namespace.name}"
    namespace.until(lambda: namespace.cluster.request("GET", gone)[0] == 404, "end of the namespace")
    assert operator.running
    assert "defect" not in operator.log


@pytest.mark.causes("PodRefused")
def test_a_name_that_is_taken_is_told(namespace: Namespace, start_operator: StartOperator) -> None:
    uid = namespace.apply(preRunningDeadlineSeconds=2)
    name = child_name(JobIdentity(name="movies", namespace=namespace.name, uid=uid), Mode.TRAIN)
    pods = {"restartPolicy": "Never", "containers": [{"name": "other", "image": "other"}]}
    namespace.create_object("jobs", {"metadata": {"name": name}, "spec": {"template": {"spec": pods}}})
    start_operator()
    failed = namespace.until_phase("Failed")["failure"]
    assert failed["code"] == "PodRefused"
    assert name in failed["message"]
    assert len(namespace.objects("jobs")) == 1
