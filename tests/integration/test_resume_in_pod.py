"""A pod that is asked for a checkpoint, stopped, and goes on in the next one."""

import signal

import pytest
from pod_process import Pod, asked, endless, until

from finetune_api import pod
from finetune_api.live import Live


@pytest.mark.causes("Stopped")
def test_a_checkpoint_on_request_and_going_on_from_it(pod_files: Pod) -> None:
    pod_files.spec["checkpoints"] = {"saveSteps": 1_000_000}
    endless(pod_files)
    request = pod_files.at(pod.CHECKPOINT_REQUEST)
    request.write_text("")
    process = pod_files.start()
    said = until(process, "validation at step 5")
    assert Live.model_validate_json(asked(process, pod.PROGRESS_PATH)).checkpoints == []
    request.write_text("before the party\n")
    said += until(process, ") committed")
    live = Live.model_validate_json(asked(process, pod.PROGRESS_PATH))
    assert (live.checkpoint_request, len(live.checkpoints)) == ("before the party", 1)
    step = live.checkpoints[0].step
    assert live.checkpoints[0].uri == f"pvc://results/team-a/tickets/6f1c/checkpoints/1/{step}"
    metrics = asked(process, pod.METRICS_PATH)
    of_job = '{name="tickets",namespace="team-a"}'
    assert f"finetune_checkpoint_committed_step{of_job} {float(step)}" in metrics
    assert f"finetune_checkpoint_upload_seconds{of_job}" in metrics
    assert f"finetune_checkpoint_bytes{of_job}" in metrics
    process.send_signal(signal.SIGTERM)
    last = pod_files.end(process, said).told.steps
    assert last > step

    process = pod_files.start()
    said = until(process, f"resuming from step {last} of attempt 1")
    said += until(process, "validation at step")
    assert Live.model_validate_json(asked(process, pod.PROGRESS_PATH)).resumed_from == last
    process.send_signal(signal.SIGTERM)
    ended = pod_files.end(process, said)
    ended.failed("Stopped", 85)
    assert (ended.told.resumed_from, ended.told.attempt) == (last, 2)
    assert ended.told.checkpoint is not None
    assert ended.told.checkpoint.step > last
