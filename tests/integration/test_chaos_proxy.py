"""The fault proxy itself: it is no fault of its own, and each fault is what it says."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from s3_server import S3Server
from storage_faults import Fault, Kind, Moment, Trap
from storage_proxy import StorageProxy

from finetune_api.failures import StorageUnavailable
from finetune_api.run_file import Stores
from finetune_trainer.storage import Folder, Patience, Site, open_folder

CONTENT = bytes(range(256)) * 4_000


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[StorageProxy]:
    s3.bucket("faulty")
    with StorageProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def direct(s3: S3Server) -> Folder:
    return folder(s3, s3.endpoint)


def folder(s3: S3Server, endpoint: str, retries: int = 0) -> Folder:
    stores = Stores(settings={**s3.credentials, "AWS_ENDPOINT_URL": endpoint})
    return open_folder("s3://faulty/box", Site(Path("/"), stores=stores), patience=Patience(retries=retries, seconds=9))


def test_without_faults_nothing_is_different(s3: S3Server, proxy: StorageProxy, direct: Folder) -> None:
    through = folder(s3, proxy.endpoint)
    through.put("some thing/a+b&c=d ü.bin", CONTENT)
    through.put_new("empty", b"")
    assert direct.get("some thing/a+b&c=d ü.bin") == through.get("some thing/a+b&c=d ü.bin") == CONTENT
    assert through.list() == direct.list() == [("empty", 0), ("some thing/a+b&c=d ü.bin", len(CONTENT))]
    through.delete("empty")
    through.delete("some thing/a+b&c=d ü.bin")
    assert (through.list(), through.exists("empty")) == ([], False)
    touched = [path.removeprefix("/faulty/box/") for request in proxy.requests for path in request.touched]
    assert touched == ["some thing/a+b&c=d ü.bin", "empty", "empty", "some thing/a+b&c=d ü.bin"]


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.SLOW_DOWN, Kind.ERROR, Kind.CUT_UPLOAD, Kind.LOST_ANSWER], ids=str)
def test_writes_that_go_wrong(s3: S3Server, proxy: StorageProxy, direct: Folder, kind: Kind) -> None:
    fault = Fault(kind, path=r"box/one$", verbs="PUT", times=0)
    proxy.arm(fault)
    with pytest.raises(StorageUnavailable):
        folder(s3, proxy.endpoint).put("one", CONTENT)
    proxy.settle()
    assert fault.hit == 1
    assert direct.exists("one") is (kind is Kind.LOST_ANSWER)
    proxy.arm()
    folder(s3, proxy.endpoint).put("one", CONTENT)
    assert direct.get("one") == CONTENT
    direct.delete("one")


@pytest.mark.parametrize(
    "kind",
    [Kind.REFUSED, Kind.SLOW_DOWN, Kind.ERROR, Kind.CUT_DOWNLOAD, Kind.TRUNCATED, Kind.LOST_ANSWER],
    ids=str,
)
def test_reads_that_go_wrong(s3: S3Server, proxy: StorageProxy, direct: Folder, kind: Kind) -> None:
    direct.put("one", CONTENT)
    fault = Fault(kind, path=r"box/one$", verbs="GET", times=0)
    proxy.arm(fault)
    with pytest.raises(StorageUnavailable):
        folder(s3, proxy.endpoint).get("one")
    assert fault.hit == 1
    direct.delete("one")


@pytest.mark.parametrize("kind", [Kind.SLOW_DOWN, Kind.ERROR, Kind.CUT_UPLOAD, Kind.LOST_ANSWER], ids=str)
def test_what_passes_is_retried(s3: S3Server, proxy: StorageProxy, direct: Folder, kind: Kind) -> None:
    fault = Fault(kind, verbs="PUT", times=2)
    proxy.arm(fault)
    folder(s3, proxy.endpoint, retries=4).put("one", CONTENT)
    assert (fault.hit, fault.seen) == (2, 3)
    assert direct.get("one") == CONTENT
    direct.delete("one")


def test_a_refused_connection_is_refused(proxy: StorageProxy, s3: S3Server) -> None:
    proxy.arm(Fault(Kind.REFUSED))
    with pytest.raises(StorageUnavailable):
        folder(s3, proxy.endpoint).list()
    address = urlsplit(proxy.endpoint)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=2)
    proxy.arm()
    assert folder(s3, proxy.endpoint).list() == []


@pytest.mark.parametrize("when", list(Moment), ids=str)
def test_a_trap_springs_at_its_moment(s3: S3Server, proxy: StorageProxy, direct: Folder, when: Moment) -> None:
    seen: list[bool] = []
    proxy.arm(trap=Trap(2, when, lambda: seen.append((s3.root / "faulty/box/two").exists())))
    through = folder(s3, proxy.endpoint)
    through.put("one", CONTENT)
    with pytest.raises(StorageUnavailable):
        through.put("two", CONTENT)
    proxy.settle()
    assert seen == [when is Moment.AFTER]
    assert direct.exists("two") is (when is Moment.AFTER)
    through.put("two", CONTENT)
    assert proxy.writes == 3
    direct.delete("one")
    direct.delete("two")


@pytest.mark.parametrize("kind", [Kind.CUT_DOWNLOAD, Kind.TRUNCATED], ids=str)
def test_a_listing_that_is_broken_off_is_asked_for_again(
    s3: S3Server, proxy: StorageProxy, direct: Folder, kind: Kind
) -> None:
    direct.put("one", b"1")
    fault = Fault(kind, path="^/faulty/?$", verbs="GET", times=2)
    proxy.arm(fault)
    assert folder(s3, proxy.endpoint).list() == [("one", 1)]
    assert fault.hit == 2
    proxy.arm(Fault(kind, path="^/faulty/?$", verbs="GET", times=0))
    with pytest.raises(StorageUnavailable):
        folder(s3, proxy.endpoint).list()
    direct.delete("one")
