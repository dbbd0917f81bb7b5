"""`runPolicy` with real pods: suspension, deadlines, retries, time to live. The words mean what they mean for Jobs."""

import subprocess
from collections.abc import Callable

import pytest
from kubectl_commands import Json, Kubectl, wait_until
from tuning_jobs import SECRET, Tuning, endless_job, moment, tiny_job

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def namespace(namespace_with_credentials: Callable[[str], str]) -> str:
    return namespace_with_credentials("policies")


def test_suspended_job_starts_nothing_until_it_is_resumed_and_goes_when_its_time_is_over(
    applied: Callable[[Json], Tuning], kubectl: Kubectl, namespace: str
) -> None:
    policy = {"suspend": True, "ttlSecondsAfterFinished": 5}
    tuning = applied(tiny_job("later", namespace, runPolicy=policy))
    tuning.wait_for_phase("Suspended", seconds=10)
    assert tuning.pods() == []
    watch = [kubectl.program, f"--kubeconfig={kubectl.kubeconfig}", "get", "ftj", tuning.name, "-n", namespace, "-w"]
    # Phases only: whole objects would fill the pipe, which is not read before the end, and hold kubectl up.
    phases = [*watch, "-o", r"jsonpath={.status.phase}{'\n'}"]
    with subprocess.Popen(phases, stdout=subprocess.PIPE, text=True) as watching:
        tuning.patch_run_policy(suspend=False)
        wait_until("its time to live is over", lambda: tuning.object is None, 120)
        watching.terminate()
        shown = watching.communicate(timeout=10)[0]
    assert "Succeeded" in shown.split(), "the outcome was visible before the job was deleted"
    wait_until("its Job and pods are gone", lambda: not tuning.jobs() and not tuning.pods(), 30)


def test_suspension_frees_the_pod_and_resumption_trains_again(
    applied: Callable[[Json], Tuning], namespace: str
) -> None:
    tuning = applied(endless_job("paused", namespace, runPolicy={"activeDeadlineSeconds": 3600}))
    tuning.wait_for_training()
    tuning.patch_run_policy(suspend=True)
    status = tuning.wait_for_phase("Suspended", seconds=30)
    wait_until("its pod is gone", lambda: not tuning.pods(), 30)
    # The phase says that the Job is suspended, the condition that its pod was seen to end: the operator hears of that
    # when we do. A resumption before it would find the end of the attempt unseen.
    wait_until("its end was seen", lambda: tuning.condition("Suspended").get("status") == "True", 30, tell=tuning.told)
    assert "activeSince" not in status
    used = status["activeSeconds"]
    assert used > 0
    tuning.patch_run_policy(suspend=False)
    status = tuning.wait_for_training(attempt=2)
    assert status["activeSeconds"] >= used, "the deadline is not set anew"
    assert status.get("failures", 0) == 0
    assert status["attempts"][0]["reason"] == "Suspended"


@pytest.mark.causes("ActiveDeadlineExceeded")
def test_active_deadline_ends_a_job(applied: Callable[[Json], Tuning], namespace: str) -> None:
    tuning = applied(endless_job("too-long", namespace, runPolicy={"activeDeadlineSeconds": 30}))
    status = tuning.wait_for_phase("Failed", seconds=90)
    assert status["failure"]["code"] == "ActiveDeadlineExceeded"
    taken = (moment(status["completionTime"]) - moment(status["startTime"])).total_seconds()
    assert 20 <= taken <= 60
    wait_until("nothing runs", lambda: all(p["status"]["phase"] == "Failed" for p in tuning.pods()), 40)


def test_backoff_limit_is_the_number_of_retries(applied: Callable[[Json], Tuning], namespace: str) -> None:
    policy = {"backoffLimit": 0}
    tuning = applied(tiny_job("no-retry", namespace, compute={"profile": "crashing"}, runPolicy=policy))
    status = tuning.wait_for_phase("Failed", seconds=60)
    assert (status["failures"], len(status["attempts"])) == (1, 1)


@pytest.mark.causes("Stalled")
def test_job_that_stands_still_is_tried_again_and_then_ended(
    applied: Callable[[Json], Tuning], kubectl: Kubectl, namespace: str, silent_store: Callable[[str], str]
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": silent_store(namespace)}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "silent", "namespace": namespace},
            "stringData": keys,
        }
    )
    rows = {"train": [{"uri": "s3://finetune/data/support_tickets.csv", "secretRef": {"name": "silent"}}]}
    policy = {"stallSeconds": 10, "backoffLimit": 1}
    tuning = applied(tiny_job("stands-still", namespace, data=rows, runPolicy=policy))
    status = tuning.wait_for_phase("Failed", seconds=150)
    assert status["failure"]["code"] == "Stalled"
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Stalled", "Stalled"]


def test_spec_stays_as_it_is(applied: Callable[[Json], Tuning], kubectl: Kubectl, namespace: str) -> None:
    tuning = applied(tiny_job("settled", namespace, runPolicy={"suspend": True}))
    patch = '{"spec": {"training": {"epochs": 9}}}'
    refused = kubectl.tried("patch", "ftj", tuning.name, "-n", namespace, "--type=merge", "-p", patch)
    assert refused.returncode != 0
    assert "runPolicy" in refused.stderr
    assert SECRET in str(tuning.object)
