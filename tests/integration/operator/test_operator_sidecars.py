"""An injected sidecar on a real API server with its Job controller: no pod is kept once its trainer has ended."""

from operator_process import StartOperator
from played_node import PlayedNode, failure, success
from tuning import Json, Namespace

from finetune_api.outcome import FailureInfo


def test_pods_with_a_sidecar_end_with_their_trainer(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    """For a run that succeeded, for one that failed for good, and for one that is tried again."""
    start_operator()
    uids = {name: namespace.apply(name) for name in ("good", "bad", "again")}
    pods = namespace.until(lambda: namespace.pods_by_job() if len(namespace.objects("pods")) == 3 else None, "pods")
    for pod in pods.values():
        node.start(pod)
    data, store = ("Data", "ColumnMissing", 65), ("Transient", "StorageUnavailable", 75)
    node.end_beside_a_sidecar(pods["good"], 0, success(uids["good"]))
    for name, (kind, code, exit_code) in {"bad": data, "again": store}.items():
        info = FailureInfo(failure_class=kind, code=code, message="m")
        node.end_beside_a_sidecar(pods[name], exit_code, failure(uids[name], info))
    namespace.until_phase("Succeeded", "good")
    namespace.until_phase("Failed", "bad")
    namespace.until(lambda: not {*pods.values()} & at_work(namespace), "end of the pods")
    namespace.until(lambda: ended_jobs(namespace) == {"good", "bad"}, "end of the Jobs")
    assert namespace.status("again")["failures"] == 1


def at_work(namespace: Namespace) -> set[str]:
    """Pods that nobody has asked to end."""
    return {pod["metadata"]["name"] for pod in namespace.objects("pods") if "deletionTimestamp" not in pod["metadata"]}


def ended_jobs(namespace: Namespace) -> set[str]:
    """FineTuneJobs whose Job is over."""
    return {job["metadata"]["labels"]["finetune.dev/job"] for job in namespace.objects("jobs") if is_over(job)}


def is_over(job: Json) -> bool:
    conditions = job["status"].get("conditions", [])
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)
