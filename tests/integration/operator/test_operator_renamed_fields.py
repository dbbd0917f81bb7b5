"""Jobs that were stored with the first names of renamed fields, under the present CRD and operator."""

import json

import pytest
from definitions import Definition
from operator_process import OPERATOR, StartOperator
from played_node import PlayedNode, PlayedTrainer, success, training
from tuning import SPEC, Json, Namespace

from finetune_api.pod import RUN_ANNOTATION

FIRST: Json = {
    "training": {"epochs": 2, "deviceBatchSize": 4, "scheduler": "Cosine"},
    "checkpoints": {"everySteps": 5},
    "evaluation": {"everySteps": 10},
}
PRESENT: Json = {
    "training": {"epochs": 2, "perDeviceBatchSize": 4, "lrSchedulerType": "Cosine"},
    "checkpoints": {"saveSteps": 5},
    "evaluation": {"evalSteps": 10},
}
REFUSAL = "deviceBatchSize is called perDeviceBatchSize now"


def manifest(name: str, blocks: Json) -> Json:
    head = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
    return {**head, "spec": {**SPEC, **blocks}}


def applied(namespace: Namespace, name: str, blocks: Json) -> str:
    """Apply a file as a GitOps controller does; return what the API server has to say against it."""
    arguments = ("apply", "--server-side", "--force-conflicts", "-n", namespace.name, "-f", "-")
    answer = namespace.cluster.kubectl(*arguments, stdin=json.dumps(manifest(name, blocks)))
    return answer.stderr if answer.returncode else ""


def upgrade(namespace: Namespace, definition: Definition) -> None:
    """Put the present CRD in place of an older one, and wait until it counts."""
    definition.replace()
    namespace.until(lambda: REFUSAL in applied(namespace, "probe", FIRST), "the present CRD")


@pytest.fixture
def stored(namespace: Namespace, definition: Definition) -> Json:
    """A job that was stored with first names, as it is after the upgrade of the CRD."""
    definition.replace(definition.older())
    namespace.until(lambda: not applied(namespace, "movies", FIRST), "the older CRD")
    before = namespace.read()
    assert before["spec"]["training"]["neftuneAlpha"] == 0, "the older CRD stores defaults"
    upgrade(namespace, definition)
    after = namespace.read()
    assert after["spec"] == before["spec"], "the upgrade of the CRD changes no stored job"
    return after


def test_a_stored_job_can_be_written_but_not_changed(namespace: Namespace, stored: Json) -> None:
    namespace.patch("movies", {"metadata": {"labels": {"team": "a"}}})
    namespace.write_status("movies", {"phase": "Pending"})
    namespace.patch("movies", {"spec": {"runPolicy": {"suspend": True}}})
    assert namespace.read()["spec"]["training"] == stored["spec"]["training"]
    assert not namespace.takes("movies", {"spec": {"training": {"deviceBatchSize": 8}}})
    assert not namespace.takes("movies", {"spec": {"training": {"perDeviceBatchSize": 8}}})
    assert not namespace.takes("movies", {"spec": {"checkpoints": {"everySteps": 6}}})
    assert not namespace.takes("movies", {"spec": {"evaluation": {"everySteps": None}}})


@pytest.mark.usefixtures("stored")
def test_its_file_can_be_applied_again_and_brought_to_present_names(namespace: Namespace) -> None:
    assert applied(namespace, "movies", FIRST) == ""
    other = {**PRESENT, "training": {**PRESENT["training"], "lrSchedulerType": "Linear"}}
    assert "training can't be changed" in applied(namespace, "movies", other)
    assert applied(namespace, "movies", PRESENT) == ""
    assert "deviceBatchSize" not in namespace.read()["spec"]["training"]
    assert REFUSAL in applied(namespace, "movies", FIRST)


@pytest.mark.usefixtures("stored")
def test_a_file_that_names_no_renamed_field_can_be_applied_again(namespace: Namespace, definition: Definition) -> None:
    """The older CRD stored defaults under first names, the present one stores none."""
    plain: Json = {"training": {"epochs": 3, "preference": {"beta": 0.2}}, "method": {"full": {"trainableLayers": 1}}}
    plain = {**plain, "task": "Preference", "method": {"type": "Full", **plain["method"]}}
    definition.replace(definition.older())
    namespace.until(lambda: not applied(namespace, "probe", FIRST), "the older CRD")
    assert applied(namespace, "plain", plain) == ""
    assert namespace.read("plain")["spec"]["training"]["preference"]["loss"] == "Sigmoid"
    namespace.remove("finetunejobs", "probe")
    upgrade(namespace, definition)
    assert applied(namespace, "plain", plain) == ""
    assert "training can't be changed" in applied(namespace, "plain", {**plain, "training": {"epochs": 4}})


def test_a_running_job_with_first_names_goes_on_under_the_present_operator(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator, definition: Definition
) -> None:
    definition.replace(definition.older())
    namespace.until(lambda: not applied(namespace, "movies", FIRST), "the older CRD")
    uid = namespace.read()["metadata"]["uid"]
    operator = start_operator()
    pod = namespace.pod()
    run = namespace.job()["spec"]["template"]["metadata"]["annotations"][RUN_ANNOTATION]
    assert json.loads(run)["spec"]["training"]["deviceBatchSize"] == 4
    operator.kill()
    upgrade(namespace, definition)
    trainer = PlayedTrainer()
    trainer.answer = training(uid, step=3).model_dump_json(by_alias=True).encode()
    with trainer.serving("127.0.0.2"):
        node.start(pod, ip="127.0.0.2")
        operator.start()
        namespace.until(lambda: namespace.status().get("progress", {}).get("step") == 3, "progress")
        namespace.patch("movies", {"spec": {"runPolicy": {"backoffLimit": 7}}})
        namespace.until(lambda: namespace.job()["spec"]["backoffLimit"] == 7, "the wish to be followed")
    assert namespace.job()["spec"]["template"]["metadata"]["annotations"][RUN_ANNOTATION] == run
    accepted = namespace.condition("Accepted")
    assert (accepted["status"], "left out" in accepted["message"]) == ("True", False)
    node.end(pod, 0, success(uid))
    assert namespace.until_phase("Succeeded")["failures"] == 0
    assert [line for line in namespace.writes_of(OPERATOR) if line == "delete jobs"] == []


def test_two_names_of_one_field_mean_the_same_order(
    namespace: Namespace, stored: Json, start_operator: StartOperator
) -> None:
    assert stored
    start_operator()
    namespace.apply("present", PRESENT)
    names = {"movies", "present"}
    namespace.until(lambda: names <= namespace.pods_by_job().keys(), "both pods")
    runs = [job["spec"]["template"]["metadata"]["annotations"][RUN_ANNOTATION] for job in namespace.objects("jobs")]
    specs = [json.loads(run)["spec"] for run in runs]
    for block in FIRST:
        assert all(spec[block].items() >= FIRST[block].items() for spec in specs), "run files have first names"
