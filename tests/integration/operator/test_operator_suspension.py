"""Suspensions on a real API server with its Job controller: longer than the deadline, and by somebody else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from operator_process import OPERATOR, StartOperator
from played_node import PlayedNode
from tuning import Json, Namespace


@pytest.mark.slow
def test_a_suspension_longer_than_the_deadline_ends_nothing(
    namespace: Namespace, node: PlayedNode, start_operator: StartOperator
) -> None:
    start_operator()
    namespace.apply(activeDeadlineSeconds=15)
    pod = namespace.pod()
    node.start(pod)
    namespace.until(lambda: namespace.status().get("activeSince"), "the begin")
    namespace.patch("movies", {"spec": {"runPolicy": {"suspend": True}}})
    namespace.until(lambda: namespace.job()["spec"]["suspend"], "the Job to be suspended")
    namespace.until_phase("Suspended")
    time.sleep(16)
    namespace.patch("movies", {"spec": {"runPolicy": {"suspend": False}}})
    assert namespace.pod() != pod
    namespace.until(lambda: namespace.job()["spec"].get("activeDeadlineSeconds"), "what is left of the deadline")
    status = namespace.until_phase("Starting")
    assert namespace.job()["spec"]["activeDeadlineSeconds"] <= 15
    assert "failure" not in status


def test_a_job_that_somebody_else_suspends_is_not_fought_for(
    namespace: Namespace, start_operator: StartOperator
) -> None:
    start_operator()
    with another_controller(namespace):
        namespace.apply()
        namespace.until_phase("Queued")
        time.sleep(5)
        told = namespace.condition("Progressing")
    assert (told["status"], told["reason"]) == ("False", "SuspendedByOthers")
    assert "compute.queue" in told["message"]
    assert namespace.writes_of(OPERATOR).count("patch jobs") <= 1
    namespace.until(lambda: {e["reason"] for e in namespace.objects("events")} >= {"SuspendedByOthers"}, "an event")
    job = namespace.job()["metadata"]["name"]
    namespace.change("jobs", job, {"spec": {"suspend": False}})
    namespace.until_phase("Starting")


@contextmanager
def another_controller(namespace: Namespace) -> Iterator[None]:
    """Suspends each Job whenever it is not, as Kueue does with Jobs without a queue."""
    done = threading.Event()

    def hold() -> None:
        while not done.wait(0.1):
            jobs: list[Json] = namespace.objects("jobs")
            for job in jobs:
                if not job["spec"].get("suspend"):
                    namespace.change("jobs", job["metadata"]["name"], {"spec": {"suspend": True}})

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
