"""A CRD, a trainer or an operator of another version under jobs that run, on a real API server."""

import json
import time
from typing import Any

from definitions import Definition, block
from operator_process import OPERATOR, StartOperator
from played_node import PlayedNode, PlayedTrainer, success, training
from tuning import Json, Namespace


def with_a_default(crd: Json) -> Json:
    """The CRD with one more field in `training`, which the API server shows in every job that has the block."""
    block(crd, "training")["properties"]["sequenceParallel"] = {"type": "string", "default": "Auto", "maxLength": 16}
    return crd


def shown(namespace: Namespace, name: str) -> Any:
    """The value of that field as the API server shows it."""
    return namespace.read(name)["spec"]["training"].get("sequenceParallel")


def test_a_newer_crd_and_a_newer_trainer_end_nothing(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator, definition: Definition
) -> None:
    start_operator()
    uid = namespace.apply("movies", {"training": {"epochs": 2}})
    pod = namespace.pod()
    trainer = PlayedTrainer()
    trainer.answer = json.dumps(_with_more(training(uid, step=3).model_dump(mode="json", by_alias=True))).encode()
    with trainer.serving("127.0.0.2"):
        node.start(pod, ip="127.0.0.2")
        namespace.until(lambda: namespace.status().get("progress", {}).get("step") == 3, "progress")
        definition.replace(with_a_default(definition.newer()))
        namespace.until(lambda: shown(namespace, "movies") == "Auto", "the default of the newer CRD")
        namespace.patch("movies", {"spec": {"runPolicy": {"backoffLimit": 7}}})
        namespace.until(lambda: namespace.job()["spec"]["backoffLimit"] == 7, "the wish to be followed")
        assert namespace.phase() == "Training"
        assert namespace.job()["spec"].get("activeDeadlineSeconds") is None
    node.end(pod, 0, json.dumps(_with_more(json.loads(success(uid)))))
    status = namespace.until_phase("Succeeded")
    assert (status["failures"], [a["reason"] for a in status["attempts"]]) == (0, ["Succeeded"])


def test_an_older_operator_starts_jobs_under_a_newer_crd(
    namespace: Namespace, start_operator: StartOperator, definition: Definition
) -> None:
    definition.replace(with_a_default(definition.newer()))
    namespace.apply("probe", {"training": {"epochs": 2}})
    namespace.until(lambda: shown(namespace, "probe") == "Auto", "the default of the newer CRD")
    start_operator()
    job = namespace.job()
    run = json.loads(job["spec"]["template"]["metadata"]["annotations"]["finetune.dev/run"])
    assert run["spec"]["training"]["epochs"] == 2
    assert "sequenceParallel" not in run["spec"]["training"], "the trainer would not know the field either"
    accepted = namespace.until(lambda: namespace.condition("Accepted", "probe"), "word of it")
    assert (accepted["status"], "spec.training.sequenceParallel" in accepted["message"]) == ("True", True)


def test_a_spec_that_can_not_be_read_goes_on_by_the_run_file(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator, definition: Definition
) -> None:
    operator = start_operator()
    uid = namespace.apply()
    pod = namespace.pod()
    node.start(pod)
    namespace.until(lambda: namespace.status().get("startTime"), "start")
    operator.kill()
    newer = definition.newer()
    newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"].pop("x-kubernetes-validations")
    block(newer)["properties"]["task"]["enum"].append("Telepathy")
    definition.replace(newer)
    namespace.until(lambda: namespace.takes("movies", {"spec": {"task": "Telepathy"}}), "the newer CRD")
    operator.start()
    namespace.until(lambda: namespace.condition("Accepted").get("status") == "Unknown", "word of it")
    accepted = namespace.condition("Accepted")
    assert (accepted["reason"], "spec.task" in accepted["message"]) == ("SpecUnreadable", True)
    namespace.patch("movies", {"spec": {"runPolicy": {"backoffLimit": 8}}})
    namespace.until(lambda: namespace.job()["spec"]["backoffLimit"] == 8, "the wish to be followed")
    node.end(pod, 0, success(uid))
    assert namespace.until_phase("Succeeded")["failures"] == 0
    assert [line for line in namespace.writes_of(OPERATOR) if line == "delete jobs"] == []


def _with_more(data: Any) -> Any:
    """The same with one more field in each object."""
    if isinstance(data, dict):
        return {**{name: _with_more(value) for name, value in data.items()}, "addedLater": {"on": True}}
    return data


def test_a_newer_operator_works_under_an_older_crd(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator, definition: Definition
) -> None:
    """The API server drops what the older CRD has no place for: the operator neither misses it nor insists on it."""
    definition.replace(definition.older())
    start_operator()
    uid = namespace.apply()
    pod = namespace.pod()
    node.start(pod)
    namespace.until(lambda: namespace.status().get("startTime"), "the start")
    namespace.until(lambda: "children" not in namespace.status(), "the older CRD")
    time.sleep(3)
    writes = len(namespace.writes_of(OPERATOR))
    time.sleep(3)
    assert len(namespace.writes_of(OPERATOR)) <= writes + 1, "it does not write the same again and again"
    node.end(pod, 0, success(uid))
    assert namespace.until_phase("Succeeded")["failures"] == 0
