"""`finetunejob://` on a real API server with its controllers: jobs that wait, take results, and give up with words."""

import pytest
from operator_process import StartOperator
from played_node import DIGEST, SUCCEEDED, PlayedNode, failure, success
from tuning import Namespace, merge_of

from finetune_api.outcome import FailureInfo


def reasons(namespace: Namespace, name: str) -> list[str]:
    """Reasons of the job's events, the oldest first."""
    events = [event for event in namespace.objects("events") if event["involvedObject"]["name"] == name]
    return [event["reason"] for event in sorted(events, key=lambda event: str(event["metadata"]["name"]))]


def pod_of(namespace: Namespace, name: str) -> str:
    return str(namespace.until(lambda: namespace.pods_by_job().get(name), f"pod of {name}"))


def test_a_job_waits_for_another_and_starts_from_its_result(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    start_operator()
    namespace.apply("tuned", {"model": {"uri": "finetunejob://base"}})
    namespace.until(lambda: namespace.message(name="tuned").startswith("there is no"), "its word")
    base = namespace.apply("base")
    pod = namespace.pod()
    namespace.until(lambda: "waits for FineTuneJob base" in namespace.message(name="tuned"), "a wait")
    node.start(pod)
    assert len(namespace.objects("jobs")) == 1
    node.end(pod, 0, success(base))
    parent = {"name": "base", "uid": base, "output": f"s3://models/tuned/base/{base}", "digest": DIGEST}
    assert namespace.run_file("tuned")["parents"] == [{**parent, "bases": []}]
    assert namespace.status("tuned")["parents"] == [{**parent, "bases": []}]


def test_a_merge_takes_each_result_as_it_comes_whatever_happens_meanwhile(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    operator = start_operator()
    namespace.apply("merged", merge_of("one", "two"))
    namespace.until(lambda: namespace.message(name="merged").startswith("there is no FineTuneJob one"), "its word")
    uids = {name: namespace.apply(name) for name in ("one", "two")}
    for name in ("two", "one"):
        node.start(pod_of(namespace, name))
    namespace.until(lambda: "FineTuneJob one, which" in namespace.message(name="merged"), "a wait for both")
    assert "and FineTuneJob two, which" in namespace.message(name="merged")
    node.end(pod_of(namespace, "one"), 0, success(uids["one"]))
    namespace.until(lambda: "has 1 of 2 results" in namespace.message(name="merged"), "the first result")
    held = namespace.status("merged")["parents"]
    assert [(parent["name"], parent["uid"], parent["digest"]) for parent in held] == [("one", uids["one"], DIGEST)]

    operator.kill()
    namespace.remove("finetunejobs", "one")
    operator.start()
    assert [job["metadata"]["labels"]["finetune.dev/job"] for job in namespace.objects("jobs")].count("merged") == 0
    node.end(pod_of(namespace, "two"), 0, success(uids["two"]))
    assert {parent["name"]: parent["uid"] for parent in namespace.run_file("merged")["parents"]} == uids
    story = namespace.until(lambda: (told := reasons(namespace, "merged"))[-1] == "JobCreated" and told, "the story")
    assert story == ["Accepted", "ParentMissing", "ParentNotFinished", "ParentFinished", "ParentFinished", "JobCreated"]


@pytest.mark.causes("ParentUnusable")
def test_a_merge_ends_with_the_first_source_that_has_no_result(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    start_operator()
    namespace.apply("one")
    two = namespace.apply("two")
    namespace.apply("merged", merge_of("one", "two"))
    namespace.until(lambda: "waits for FineTuneJob one" in namespace.message(name="merged"), "a wait")
    node.start(pod_of(namespace, "two"))
    broken = FailureInfo(failure_class="Data", code="ColumnMissing", message="there is no column text")
    node.end(pod_of(namespace, "two"), 65, failure(two, broken), reason="Error")
    told = namespace.until_phase("Failed", "merged")["failure"]
    assert told["code"] == "ParentUnusable"
    assert told["message"] == "FineTuneJob two failed (ColumnMissing): it has no result"
    assert "spec.method.merge.sources[1].uri" in told["hint"]
    assert [name for name in namespace.pods_by_job() if name == "merged"] == []


def test_jobs_that_wait_for_each_other_are_told_so(namespace: Namespace, start_operator: StartOperator) -> None:
    namespace.apply("one", {"model": {"uri": "finetunejob://merged"}})
    namespace.apply("merged", merge_of("two", "one"))
    start_operator()
    codes = {namespace.until_phase("Failed", name)["failure"]["code"] for name in ("one", "merged")}
    assert "SpecInvalid" in codes
    assert codes <= {"SpecInvalid", "ParentUnusable"}
    words = [namespace.status(name)["failure"]["message"] for name in ("one", "merged")]
    assert any(" -> " in text for text in words), words
    assert namespace.objects("jobs") == []


def test_parents_whose_time_is_over_stay_until_each_child_has_taken_their_result(
    namespace: Namespace, start_operator: StartOperator
) -> None:
    """Twenty at once, so that most children wait for their turn to be written."""
    names = [str(number) for number in range(20)]
    for name in names:
        namespace.apply(f"parent-{name}", ttlSecondsAfterFinished=0)
        namespace.write_status(f"parent-{name}", SUCCEEDED)
        namespace.apply(f"child-{name}", {"model": {"uri": f"finetunejob://parent-{name}"}})
    start_operator()
    namespace.until(lambda: len(namespace.objects("finetunejobs")) == len(names), "end of the parents")
    for name in names:
        assert [parent["name"] for parent in namespace.status(f"child-{name}")["parents"]] == [f"parent-{name}"]
