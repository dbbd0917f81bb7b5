"""A trainer pod that hangs, and one that only was stopped for a while."""

import os
import signal
import socket
import time

import pytest
from pod_process import Pod, endless, until

from finetune_api.pod import CHECKPOINT_REQUEST

LIMITED = {"runPolicy": {"stallSeconds": 3}}
"""A trainer ends itself after four times as long."""


@pytest.mark.causes("TrainerHung")
def test_a_source_that_never_answers_ends_the_pod_with_traces(pod_files: Pod) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pod_files.stores = {"settings": {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}}
        pod_files.secret("keys", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
        source = {"uri": "s3://silent/rows.csv", "secretRef": {"name": "keys"}}
        pod_files.order(data={"train": [source]}, **LIMITED)
        ended = pod_files.run()
    words = ended.failed("TrainerHung", 14)
    assert "no progress for 12 s, since: reading s3://silent/rows.csv" in words
    assert "runPolicy.stallSeconds sets the limit" in words
    assert "most recent call first" in ended.log
    assert ended.told.uid == pod_files.uid


def test_a_run_that_hangs_in_its_middle_tells_the_step_that_it_reached(pod_files: Pod) -> None:
    pod_files.spec |= LIMITED
    endless(pod_files)
    process = pod_files.start()
    said = until(process, "validation at step 5")
    request = pod_files.at(CHECKPOINT_REQUEST)
    request.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(request)  # which nobody writes to: reading it at the next step never ends
    ended = pod_files.end(process, said)
    ended.failed("TrainerHung", 14)
    assert ended.told.steps >= 5
    assert (ended.told.attempt, ended.told.resumed_from) == (1, None)
    assert f"since: Training, step {ended.told.steps} of" in ended.log


@pytest.mark.slow
def test_a_pod_that_was_stopped_for_a_while_goes_on(pod_files: Pod) -> None:
    pod_files.spec |= LIMITED
    endless(pod_files)
    process = pod_files.start()
    said = until(process, "validation at step 5")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(18)
    os.kill(process.pid, signal.SIGCONT)
    said += until(process, "validation at step")
    process.send_signal(signal.SIGTERM)
    pod_files.end(process, said).failed("Stopped", 85)
