"""Checkpoints, requests for them, and stuck pods, on a real API server with its controllers."""

from operator_process import OPERATOR, StartOperator
from played_node import DIGEST, PlayedNode, PlayedTrainer, training
from tuning import Namespace

from finetune_api.live import Live
from finetune_api.outcome import Outcome
from finetune_api.status import CheckpointInfo
from finetune_api.termination import Termination


def saved(live: Live, step: int, **facts: object) -> Live:
    """The same with a committed checkpoint."""
    info = CheckpointInfo(step=step, uri=f"s3://models/tuned/movies/x/checkpoints/1/{step}", digest=DIGEST)
    return live.model_copy(update={"checkpoints": [info], **facts})


def stories(namespace: Namespace) -> dict[str, str]:
    """Messages of events by their reason."""
    return {event["reason"]: event["message"] for event in namespace.objects("events")}


def test_a_suspended_job_keeps_its_checkpoint_and_goes_on_from_it(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    operator = start_operator()
    uid = namespace.apply()
    pod = namespace.pod()
    node.take(pod)
    trainer = PlayedTrainer()
    trainer.tell(saved(training(uid, step=7), 5))
    with trainer.serving("127.0.0.2"):
        node.start(pod)
        namespace.until(lambda: namespace.status().get("checkpoints"), "a checkpoint")
        assert f'finetune_job_checkpoint_step{{name="movies",namespace="{namespace.name}"}} 5' in operator.metrics()
        namespace.patch("movies", {"spec": {"runPolicy": {"suspend": True}}})
        namespace.until(lambda: "to save a checkpoint" in namespace.message("Suspended"), "time to save")
    info = CheckpointInfo(step=8, uri="s3://models/tuned/movies/x/checkpoints/1/8", digest=DIGEST)
    words = Termination(uid=uid, attempt=1, outcome=Outcome.STOPPED, steps=8, checkpoint=info)
    node.end(pod, 85, words.encode(), reason="Error")
    node.let_go(pod)
    namespace.until(lambda: "step 8 is in a checkpoint" in namespace.message("Suspended"), "what is kept")
    status = namespace.status()
    assert [(a["reason"], a["steps"], a["exitCode"]) for a in status["attempts"]] == [("Suspended", 8, 85)]
    assert status["checkpoints"][-1]["step"] == 8
    namespace.patch("movies", {"spec": {"runPolicy": {"suspend": False}}})
    second = namespace.pod()
    trainer.tell(saved(training(uid, step=9), 8, resumed_from=8))
    with trainer.serving("127.0.0.3"):
        node.start(second, ip="127.0.0.3")
        status = namespace.until_phase("Training")
    assert [a.get("resumedFrom") for a in status["attempts"]] == [None, 8]
    namespace.until(lambda: "ResumedFromCheckpoint" in stories(namespace), "the story")
    assert stories(namespace)["ResumedFromCheckpoint"].startswith("attempt 2 resumes from step 8 in pod ")


def test_a_request_reaches_the_pod_and_its_answer_the_status(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    start_operator()
    uid = namespace.apply()
    pod = namespace.pod()
    trainer = PlayedTrainer()
    trainer.tell(training(uid, step=7))
    with trainer.serving("127.0.0.2"):
        node.start(pod)
        namespace.until_phase("Training")
        namespace.patch("movies", {"metadata": {"annotations": {"finetune.dev/checkpoint": "before the demo"}}})

        def asked() -> bool:
            (found,) = namespace.objects("pods")
            return found["metadata"]["annotations"].get("finetune.dev/checkpoint") == "before the demo"

        namespace.until(asked, "the request at the pod")
        trainer.tell(saved(training(uid, step=8), 8, checkpoint_request="before the demo"))
        namespace.until(lambda: namespace.status().get("checkpointRequest") == "before the demo", "an answer")
    assert namespace.writes_of(OPERATOR).count("patch pods") == 1
    namespace.until(lambda: "CheckpointSaved" in stories(namespace), "the story")
    assert stories(namespace)["CheckpointSaved"] == "step 8 is in a checkpoint, as asked: before the demo"


def test_a_pod_on_a_node_that_is_silent_is_told_and_replaced_where_the_job_says_so(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    start_operator()
    namespace.apply(forceReplaceSeconds=2, stallSeconds=0)
    first = namespace.pod()
    node.take(first)
    node.start(first)
    namespace.until_phase("Starting")
    namespace.remove("pods", first)
    second = namespace.until(
        lambda: [p["metadata"]["name"] for p in namespace.objects("pods") if p["metadata"]["name"] != first],
        "another pod",
    )
    assert len(second) == 1
    namespace.until(lambda: [p["metadata"]["name"] for p in namespace.objects("pods")] == second, "end of the first")
    status = namespace.status()
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Preempted"]
    assert (status.get("preemptions"), status.get("failures", 0)) == (1, 0)
    writes = [write for write in namespace.writes_of(OPERATOR) if " pods" in write]
    assert writes == ["patch pods/status", "delete pods"]
