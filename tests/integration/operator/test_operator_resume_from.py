"""`checkpoints.resumeFrom` on a real API server: a new job takes over the checkpoints of one that failed."""

import pytest
from operator_process import StartOperator
from played_node import PlayedNode, failure
from tuning import Json, Namespace

from finetune_api.outcome import FailureInfo

CONTINUES: Json = {"checkpoints": {"resumeFrom": {"uri": "finetunejob://old"}}}
BROKEN = FailureInfo(failure_class="Resources", code="OutOfMemory", message="the device ran out of memory")


def test_a_new_job_continues_one_that_failed(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    operator = start_operator()
    old = namespace.apply("old", backoffLimit=0)
    pod = namespace.pod()
    namespace.apply("new", CONTINUES)
    namespace.until(lambda: namespace.condition("Progressing", "new").get("reason") == "ParentNotFinished", "a wait")
    node.start(pod)
    node.end(pod, 71, failure(old, BROKEN), reason="Error")
    namespace.until_phase("Failed", "old")
    order = namespace.run_file("new")
    place = {"name": "old", "uid": old, "output": f"s3://models/tuned/old/{old}"}
    (parent,) = order["parents"]
    assert {name: parent[name] for name in place} == place
    assert not parent.get("digest")
    assert order["spec"]["checkpoints"]["resumeFrom"] == {"uri": "finetunejob://old"}
    assert {name: namespace.status("new")["parents"][0][name] for name in place} == place

    namespace.remove("finetunejobs", "old")
    operator.kill()
    operator.start()
    namespace.until(lambda: "new" in namespace.pods_by_job(), "its pod")
    assert namespace.phase("new") != "Failed", "what was taken is enough"


@pytest.mark.causes("ParentUnusable")
def test_a_job_that_never_trained_has_nothing_to_continue(namespace: Namespace, start_operator: StartOperator) -> None:
    start_operator()
    namespace.apply("old", {"compute": {"profile": "no-such-profile"}})
    namespace.until_phase("Failed", "old")
    namespace.apply("new", CONTINUES)
    told = namespace.until_phase("Failed", "new")["failure"]
    assert told["code"] == "ParentUnusable"
    assert told["message"] == "FineTuneJob old failed (ProfileUnknown) before it trained: it has no checkpoint"
    assert namespace.objects("jobs") == []
