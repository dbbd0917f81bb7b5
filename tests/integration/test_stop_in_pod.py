"""A pod that is asked to stop while its store does not answer: it ends in the time that it is left."""

import shutil
import signal
from collections.abc import Iterator

import pytest
from pod_process import Pod, endless, until
from s3_server import S3Server
from storage_faults import Fault, Kind
from storage_proxy import StorageProxy

GRACE = 12


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[StorageProxy]:
    bucket = s3.bucket("stopped")
    with StorageProxy(s3.endpoint) as proxy:
        yield proxy
    shutil.rmtree(bucket)


@pytest.fixture
def remote_pod(pod_files: Pod, s3: S3Server, proxy: StorageProxy) -> Pod:
    """A pod whose output goes through the proxy, that trains until it is stopped."""
    pod_files.secret("store", AWS_ACCESS_KEY_ID=s3.access_key, AWS_SECRET_ACCESS_KEY=s3.secret_key)
    pod_files.stores = {"settings": {"AWS_ENDPOINT_URL": proxy.endpoint, "AWS_REGION": "us-east-1"}}
    pod_files.spec["output"] = {"uri": "s3://stopped/team-a", "secretRef": {"name": "store"}}
    pod_files.spec["checkpoints"] = {"saveSteps": 1_000_000}
    pod_files.grace_seconds = GRACE
    endless(pod_files)
    return pod_files


@pytest.mark.slow
@pytest.mark.causes("Interrupted")
@pytest.mark.parametrize("kind", [Kind.BLACK_HOLE, Kind.REFUSED], ids=str)
def test_a_stop_ends_in_time_though_the_store_is_down(remote_pod: Pod, proxy: StorageProxy, kind: Kind) -> None:
    process = remote_pod.start()
    said = until(process, "validation at step 5")
    proxy.arm(Fault(kind, times=0))
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=3 * GRACE)  # a store that comes back has 300 s for that where nobody waits
    ended = remote_pod.end(process, said)
    assert "was not saved in time" in ended.failed("Interrupted", 130)
    assert "the newest checkpoint could not be saved: there was no more time to upload the checkpoint" in ended.log
    assert "warning: the report was not written" in ended.log
    assert ended.told.checkpoint is None


@pytest.mark.slow
@pytest.mark.causes("Stopped")
def test_a_store_that_comes_back_in_time_gets_the_checkpoint(remote_pod: Pod, proxy: StorageProxy) -> None:
    remote_pod.grace_seconds = 600
    endless(remote_pod)
    process = remote_pod.start()
    said = until(process, "validation at step 5")
    proxy.arm(Fault(Kind.ERROR, times=3))
    process.send_signal(signal.SIGTERM)
    ended = remote_pod.end(process, said)
    ended.failed("Stopped", 85)
    assert ended.told.checkpoint is not None
    assert ended.told.checkpoint.step == ended.told.steps
