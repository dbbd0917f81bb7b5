"""A trainer pod that hangs, and one that only was stopped for a while."""

import os
import signal
import socket
import time

import pytest
from pod_process import Pod, endless, until

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
