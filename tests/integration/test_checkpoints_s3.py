"""Checkpoints in a real object store: through faults of the network, and without conditional writes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkpoint_worlds import HASTY, LINEAGE, LOSS, same, snapshot
from s3_server import S3Server
from storage_faults import Fault, Kind
from storage_proxy import StorageProxy
from unconditional_store import Lack, without_conditions

from finetune_api.failures import Fenced, OutputNotWritable, PermissionDenied, StorageUnavailable
from finetune_api.output import Checkpoints, Output
from finetune_api.run_file import Stores
from finetune_trainer.checkpoints.disposal import discard_checkpoints
from finetune_trainer.checkpoints.persistence import Persistence
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.storage import Patience, Site, open_folder

PATIENT = Persistence(first_wait=0.05, seconds=60)
Attempt = Callable[..., CheckpointStore]


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[Path]:
    folder = s3.bucket("checkpoints")
    yield folder
    for path in folder.iterdir():
        shutil.rmtree(path)


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[StorageProxy]:
    with StorageProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def attempt(s3: S3Server, bucket: Path, tmp_path: Path, warnings: list[str]) -> Iterator[Attempt]:
    """A function that claims the output and opens the store of a new attempt, at any endpoint."""
    opened: list[CheckpointStore] = []

    def start(
        credentials: dict[str, str] | None = None, persistence: Persistence = PATIENT, keep: int = 9
    ) -> CheckpointStore:
        site = Site(tmp_path, stores=Stores(settings=credentials or s3.credentials))
        output = OutputFolder(Output(uri=f"s3://{bucket.name}/runs"), site, "reviews", "uid-1")
        patience = Patience(retries=0, seconds=1)
        output.folder = open_folder(output.uri(), site, missing=OutputNotWritable, patience=patience)
        output.claim(warnings.append)
        retention = Retention(Checkpoints(keep_last=keep, keep_best=0), LOSS)
        scratch = tmp_path / f"scratch-{len(opened)}"
        opened.append(CheckpointStore(output, scratch, retention, warnings.append, persistence))
        return opened[-1]

    yield start
    for store in opened:
        store.close()


def through(proxy: StorageProxy, s3: S3Server) -> dict[str, str]:
    return {**s3.credentials, "AWS_ENDPOINT_URL": proxy.endpoint}


def names(bucket: Path) -> list[str]:
    folder = bucket / "runs/reviews/uid-1"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_states_go_up_come_back_and_are_thinned_out(attempt: Attempt, bucket: Path, warnings: list[str]) -> None:
    store = attempt(keep=1)
    assert store.newest(LINEAGE) is None
    for step in (10, 20, 30):
        store.save(snapshot(step, size=700_000))  # of several parts
    store.finish()
    files = ("MANIFEST.json", "optimizer.safetensors", "state.json", "weights.safetensors")
    assert names(bucket) == [*(f"checkpoints/1/30/{name}" for name in files), "claims/1"]
    second = attempt()
    resumed = second.newest(LINEAGE)
    assert resumed is not None
    assert same(resumed.snapshot, snapshot(30, size=700_000))
    assert resumed.info.uri == "s3://checkpoints/runs/reviews/uid-1/checkpoints/1/30"
    assert warnings == []


def test_an_older_attempt_is_fenced(attempt: Attempt, bucket: Path) -> None:
    older = attempt(keep=1)
    older.newest(LINEAGE)
    older.save(snapshot(10))
    older.finish()
    newer = attempt()
    before = names(bucket)
    older.save(snapshot(20))
    with pytest.raises(Fenced):
        older.finish()
    assert names(bucket) == before
    resumed = newer.newest(LINEAGE)
    assert resumed is not None
    assert resumed.manifest.step == 10


def test_checkpoints_of_a_finished_run_go_manifests_first(
    attempt: Attempt, bucket: Path, s3: S3Server, proxy: StorageProxy, tmp_path: Path, warnings: list[str]
) -> None:
    store = attempt()
    store.newest(LINEAGE)
    for step in (10, 20):
        store.save(snapshot(step))
    store.finish()
    site = Site(tmp_path, stores=Stores(settings=through(proxy, s3)))
    discard_checkpoints(open_folder("s3://checkpoints/runs/reviews/uid-1", site), warnings.append)
    assert names(bucket) == ["claims/1"]
    assert [request.verb for request in proxy.requests if request.writes] == ["POST"] * 3
    assert warnings == []


WRITES = "PUT POST"
FAULTS = {
    "refused": Fault(Kind.REFUSED, "weights", WRITES, seconds=0.3),
    "busy": Fault(Kind.SLOW_DOWN, "checkpoints/1/", WRITES, times=3),
    "error": Fault(Kind.ERROR, "MANIFEST", WRITES),
    "late": Fault(Kind.LATENCY, "checkpoints/1/", WRITES, seconds=0.1, times=0),
    "cut": Fault(Kind.CUT_UPLOAD, "weights", WRITES, times=2),
    "lost answer": Fault(Kind.LOST_ANSWER, "optimizer", WRITES),
    "lost answer of the commit": Fault(Kind.LOST_ANSWER, "MANIFEST", WRITES),
    "lost listing": Fault(Kind.CUT_DOWNLOAD, "^/checkpoints/?$", "GET", skip=1),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_of_the_network_costs_time_only(
    attempt: Attempt, s3: S3Server, proxy: StorageProxy, kind: str, warnings: list[str]
) -> None:
    store = attempt(through(proxy, s3))
    store.newest(LINEAGE)
    fault = FAULTS[kind]
    fault.seen = fault.hit = 0
    proxy.arm(fault)
    store.save(snapshot(10, size=20_000))
    store.finish()
    store.save(snapshot(20, size=20_000))
    store.finish()
    assert fault.hit
    assert [info.step for info in store.committed] == [10, 20]
    resumed = attempt().newest(LINEAGE)
    assert resumed is not None
    assert same(resumed.snapshot, snapshot(20, size=20_000))
    assert warnings == []


@pytest.mark.parametrize("path", ["/claims/1$", "/uid-1/MANIFEST.json$"])
def test_an_answer_that_is_lost_is_no_other_writer(
    s3: S3Server, bucket: Path, proxy: StorageProxy, tmp_path: Path, path: str
) -> None:
    """The write is made again, and is told that there is something."""
    site = Site(tmp_path, stores=Stores(settings=through(proxy, s3)))
    output = OutputFolder(Output(uri=f"s3://{bucket.name}/runs"), site, "reviews", "uid-1")
    lost = Fault(Kind.LOST_ANSWER, path, "PUT")
    proxy.arm(lost)
    output.claim(pytest.fail)
    output.commit("MANIFEST.json", b"ours", Patience())
    assert lost.hit
    assert output.attempt == 1
    assert names(bucket) == ["MANIFEST.json", "claims/1"]


@pytest.mark.causes("StorageUnavailable")
def test_a_store_that_stays_down_is_told_and_raised(
    attempt: Attempt, s3: S3Server, proxy: StorageProxy, warnings: list[str]
) -> None:
    store = attempt(through(proxy, s3), HASTY)
    store.newest(LINEAGE)
    proxy.arm(Fault(Kind.SLOW_DOWN, "", times=0))
    for step in (10, 20):
        store.save(snapshot(step))
        store.wait()
    store.save(snapshot(30))
    with pytest.raises(StorageUnavailable):
        store.wait()
    assert store.committed == ()
    missed = [warning.split(",")[0] for warning in warnings if "not saved" in warning]
    assert missed == [f"the checkpoint at step {step} was not saved" for step in (10, 20)]


@pytest.mark.parametrize("kind", [Kind.CUT_DOWNLOAD, Kind.TRUNCATED])
def test_a_download_that_is_cut_is_no_broken_checkpoint(
    attempt: Attempt, s3: S3Server, proxy: StorageProxy, kind: Kind, warnings: list[str]
) -> None:
    store = attempt()
    store.newest(LINEAGE)
    for step in (10, 20):
        store.save(snapshot(step, size=20_000))
    store.finish()
    later = attempt(through(proxy, s3))
    proxy.arm(Fault(kind, "/20/weights", "GET", times=0))
    with pytest.raises(StorageUnavailable):
        later.newest(LINEAGE)
    proxy.arm()
    resumed = later.newest(LINEAGE)
    assert resumed is not None
    assert resumed.manifest.step == 20
    assert warnings == []


@pytest.mark.causes("PermissionDenied")
def test_keys_that_are_taken_away_end_the_run_at_once(attempt: Attempt, s3: S3Server) -> None:
    store = attempt()
    store.newest(LINEAGE)
    other = attempt({**s3.credentials})
    other._output.folder = open_folder(
        other._output.uri(),
        Site(Path("/"), stores=Stores(settings={**s3.credentials, "AWS_SECRET_ACCESS_KEY": "taken-away"})),
        patience=Patience(retries=0, seconds=1),
    )
    other._lineage = LINEAGE
    other.save(snapshot(10))
    with pytest.raises(PermissionDenied):
        other.wait()


@pytest.mark.parametrize("lack", list(Lack))
def test_without_conditional_writes_it_works_and_says_so(
    attempt: Attempt, s3: S3Server, bucket: Path, lack: Lack, warnings: list[str]
) -> None:
    with without_conditions(s3, lack) as credentials:
        first = attempt(credentials)
        assert [warning for warning in warnings if "can't write create-only" in warning]
        first.newest(LINEAGE)
        first.save(snapshot(10))
        first.finish()
        second = attempt(credentials)
        first.save(snapshot(20))
        with pytest.raises(Fenced):
            first.finish()
        resumed = second.newest(LINEAGE)
        assert resumed is not None
        assert same(resumed.snapshot, snapshot(10))
        second.save(snapshot(20))
        second.finish()
    claims = [name for name in names(bucket) if name.startswith("claims/") and "-" in name]
    assert len(claims) == 2
    assert {name.split("/")[1] for name in names(bucket) if name.startswith("checkpoints/")} == {
        claim.removeprefix("claims/") for claim in claims
    }
    assert len(warnings) == 2
