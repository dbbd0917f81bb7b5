"""What the API server refuses is told in the status within seconds, by its own words, on a real API server."""

import pytest
from admission import admission, policy
from operator_process import StartOperator
from played_node import PlayedNode, success
from started_job import StartedJob
from tuning import Json, Namespace


def broken_webhook(namespace: Namespace) -> Json:
    """A webhook on Jobs whose service is not there, as Kueue's while its pod is away."""
    hook = {
        "name": "mjob.example.io",
        "clientConfig": {"service": {"namespace": namespace.name, "name": "nobody", "path": "/mutate"}},
        "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"webhooks": [hook]}


def test_a_webhook_that_does_not_answer_is_told_and_waited_for(
    namespace: Namespace, start_operator: StartOperator
) -> None:
    start_operator()
    with admission(namespace, "mutatingwebhookconfigurations", broken_webhook(namespace)):
        namespace.apply()
        namespace.until_phase("Pending")
        told = namespace.condition("Progressing")
        assert (told["status"], told["reason"]) == ("False", "JobRefused")
        assert "(500)" in told["message"]
        assert 'failed calling webhook "mjob.example.io"' in told["message"]
    namespace.until_phase("Starting")


def test_a_policy_that_denies_jobs_is_told_and_waited_for(namespace: Namespace, start_operator: StartOperator) -> None:
    start_operator()
    denial = policy(namespace, ["CREATE"], "Jobs need an owner's label", "batch", "jobs")
    with admission(namespace, "validatingadmissionpolicies", *denial):
        namespace.until(lambda: _is_denied(namespace, "jobs"), "the policy to hold")
        namespace.apply()
        namespace.until_phase("Pending")
        assert "Jobs need an owner's label" in namespace.condition("Progressing")["message"]
    namespace.until_phase("Starting")


def test_a_wish_that_is_refused_is_told_while_progress_goes_on(
    namespace: Namespace, node: PlayedNode, started: StartedJob
) -> None:
    namespace.until(lambda: namespace.status().get("startTime"), "the start")
    denial = policy(namespace, ["UPDATE"], "Jobs may not be changed", "batch", "jobs")
    with admission(namespace, "validatingadmissionpolicies", *denial):
        job = namespace.job()["metadata"]["name"]
        probe = f"/apis/batch/v1/namespaces/{namespace.name}/jobs/{job}"
        marked = {"metadata": {"annotations": {"probe": "1"}}}
        namespace.until(lambda: namespace.cluster.request("PATCH", probe, marked)[0] == 422, "the policy to hold")
        namespace.patch("movies", {"spec": {"runPolicy": {"suspend": True}}})
        namespace.until(lambda: namespace.condition("WriteRefused").get("status") == "True", "word of it")
        told = namespace.condition("Suspended")
        assert (told["status"], told["reason"]) == ("False", "WriteRefused")
        assert "Jobs may not be changed" in told["message"]
        assert namespace.status()["observedGeneration"] == 2
        namespace.until(lambda: {e["reason"] for e in namespace.objects("events")} >= {"WriteRefused"}, "an event")
        node.end(started.pod, 0, success(started.uid))
        namespace.until_phase("Succeeded")


def test_what_refuses_the_pod_is_told_and_a_quota_waited_for(
    namespace: Namespace, start_operator: StartOperator
) -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.memory": "1Mi"}}}
    namespace.create_object("resourcequotas", quota)
    start_operator()
    namespace.apply()
    namespace.until(lambda: "exceeded quota" in namespace.condition("Progressing").get("message", ""), "the reason")
    told = namespace.condition("Progressing")
    assert (told["status"], told["reason"]) == ("False", "PodNotStarted")
    assert "requests.memory=1Gi" in told["message"]
    namespace.remove("resourcequotas", "team")
    assert namespace.phase() == "Starting"


@pytest.mark.slow
def test_a_queue_without_kueue_is_told_with_its_remedy(namespace: Namespace, start_operator: StartOperator) -> None:
    start_operator()
    namespace.apply("movies", {"compute": {"queue": "team-a"}})
    namespace.until_phase("Queued")
    namespace.until(lambda: namespace.condition("Progressing").get("reason") == "QueueMissing", "word of it", 60)
    assert "Kueue is not installed" in namespace.condition("Progressing")["message"]


def _is_denied(namespace: Namespace, resource: str) -> bool:
    probe: Json = {
        "metadata": {"name": "probe"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    }
    path = f"/apis/batch/v1/namespaces/{namespace.name}/{resource}?dryRun=All"
    return namespace.cluster.request("POST", path, probe)[0] == 422
