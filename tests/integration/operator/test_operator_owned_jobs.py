"""Jobs that are ours, on a real API server: forged, unlabelled, deleted, and not told of yet."""

import time

from operator_process import StartOperator
from played_node import PlayedNode, success
from started_job import StartedJob
from tuning import Json, Namespace


def test_a_job_that_a_tenant_made_in_our_name_is_not_believed(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    """Neither under another name, nor under the one that the operator will want."""
    start_operator()
    uid = namespace.apply(suspend=True)
    namespace.until_phase("Suspended")
    squatted = f"movies-{uid[:8]}"
    for name in ("mine", squatted):
        namespace.create_object("jobs", forged(name, uid))
    pods = namespace.until(
        lambda: [*names_of(namespace, "pods")] if len(namespace.objects("pods")) == 2 else None, "pods"
    )
    for pod in pods:
        node.start(pod)
        node.end(pod, 0, success(uid))
    time.sleep(2)
    assert namespace.phase() == "Suspended"
    namespace.patch("movies", {"spec": {"runPolicy": {"suspend": False}}})
    namespace.until(lambda: "the operator did not make" in namespace.message(), "word of the forged Job")
    children = namespace.until(lambda: namespace.status().get("children"), "a Job of the operator's own")
    job = next(each for each in namespace.objects("jobs") if each["metadata"]["name"] == squatted)
    assert children == [{"name": squatted, "uid": job["metadata"]["uid"]}]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["pod"]
    assert namespace.phase() not in ("Succeeded", "Suspended")


def test_a_job_is_known_again_though_no_status_told_of_it(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    """As after a kill between the creation and the status: what the API server adds to a Job makes it no other."""
    operator = start_operator()
    uid = namespace.apply()
    pod = namespace.pod()
    made = namespace.until(lambda: namespace.status().get("children"), "record")
    operator.kill()
    namespace.write_status("movies", {"children": [], "phase": "Pending", "conditions": []})
    operator.start()
    namespace.until(lambda: namespace.status().get("children") == made, "record")
    assert len(namespace.objects("jobs")) == 1
    node.start(pod)
    node.end(pod, 0, success(uid))
    assert len(namespace.until_phase("Succeeded")["attempts"]) == 1


def test_a_job_whose_labels_were_taken_gets_them_back_and_its_run_goes_on(
    namespace: Namespace, node: PlayedNode, started: StartedJob
) -> None:
    namespace.until(lambda: namespace.status().get("startTime"), "start")
    job = namespace.job()["metadata"]
    labels = dict.fromkeys(job["labels"])
    path = f"/apis/batch/v1/namespaces/{namespace.name}/jobs/{job['name']}"
    assert namespace.cluster.request("PATCH", path, {"metadata": {"labels": labels}})[0] == 200
    namespace.until(
        lambda: namespace.job()["metadata"].get("labels", {}).get("finetune.dev/job-uid") == started.uid, "labels"
    )
    node.end(started.pod, 0, success(started.uid))
    status = namespace.until_phase("Succeeded")
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Succeeded"]


def test_a_job_that_someone_deletes_is_made_again_once_its_pod_has_saved(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    start_operator()
    namespace.apply()
    pod = namespace.pod()
    node.take(pod)
    node.start(pod)
    namespace.until(lambda: namespace.status().get("startTime"), "start")
    namespace.remove("jobs", namespace.job()["metadata"]["name"])
    namespace.until(lambda: "deletionTimestamp" in pod_meta(namespace, pod), "request to end")
    time.sleep(3)
    assert namespace.objects("jobs") == []
    node.end(pod, 85, "")
    node.let_go(pod)
    assert namespace.pod() != pod
    status = namespace.until(lambda: namespace.status() if namespace.status().get("preemptions") else None, "count")
    assert status.get("failures", 0) == 0


def forged(name: str, uid: str) -> Json:
    """A Job of a tenant's with our labels and our owner reference."""
    owner = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "name": "movies", "uid": uid}
    labels = {"finetune.dev/job": "movies", "finetune.dev/job-uid": uid, "finetune.dev/mode": "Train"}
    container = {"name": "trainer", "image": "busybox"}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    meta = {"name": name, "labels": labels, "ownerReferences": [{**owner, "controller": True}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}}


def names_of(namespace: Namespace, kind: str) -> list[str]:
    return [each["metadata"]["name"] for each in namespace.objects(kind)]


def pod_meta(namespace: Namespace, name: str) -> Json:
    return next((dict(pod["metadata"]) for pod in namespace.objects("pods") if pod["metadata"]["name"] == name), {})
