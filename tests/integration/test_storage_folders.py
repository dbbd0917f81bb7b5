"""What all folders do alike: on disk, in a claim, in S3."""

import os
import threading
from pathlib import Path

import pytest

from finetune_api.failures import DataNotFound, ModelNotFound, OutputExists
from finetune_api.run_file import Stores
from finetune_trainer.storage import Folder, Mounts, Site, open_folder


def where(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Site]:
    """Address of an empty folder, and the site that it is of."""
    if kind == "s3":
        server = request.getfixturevalue("s3")
        server.bucket("models")
        return f"s3://models/runs/{tmp_path.name}", Site(tmp_path, stores=Stores(settings=server.credentials))
    if kind == "pvc":
        mounts = Mounts.below(tmp_path, "team-a")
        (mounts.claims / "results").mkdir(parents=True)
        return "pvc://results/runs", Site(tmp_path, mounts)
    return f"file://{tmp_path}/runs", Site(tmp_path)


@pytest.fixture(params=["file", "pvc", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Site]:
    return where(request.param, request, tmp_path)


@pytest.fixture
def folder(place: tuple[str, Site]) -> Folder:
    return open_folder(*place)


def test_what_is_put_can_be_listed_read_and_deleted(folder: Folder, place: tuple[str, Site], tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(os.urandom(20_000_000))
    assert folder.list() == []
    folder.put("model/weights.bin", weights)
    folder.put("odd names/ü %20 #?&+.txt", b"x")
    assert folder.list() == [("model/weights.bin", 20_000_000), ("odd names/ü %20 #?&+.txt", 1)]
    assert folder.list("model") == folder.list("model/") == [("model/weights.bin", 20_000_000)]
    assert folder.fetch("model/weights.bin", tmp_path / "scratch").read_bytes() == weights.read_bytes()
    folder.download("model/weights.bin", tmp_path / "deep" / "copy.bin")
    assert (tmp_path / "deep" / "copy.bin").read_bytes() == weights.read_bytes()
    assert folder.get("odd names/ü %20 #?&+.txt") == b"x"
    assert (folder.exists("model/weights.bin"), folder.exists("model"), folder.exists("other")) == (True, False, False)
    assert (folder.uri(), folder.uri("model/a")) == (place[0], f"{place[0]}/model/a")
    folder.delete("model/weights.bin")
    folder.delete("model/weights.bin")
    assert folder.list("model") == []


def test_put_replaces_the_whole_content_and_its_version(folder: Folder) -> None:
    folder.put("a", b"long content")
    version = folder.version("a")
    assert folder.version("a") == version
    folder.put("a", b"another text")
    assert folder.get("a") == b"another text"
    assert folder.version("a") != version


@pytest.mark.causes("OutputExists")
def test_all_below_a_folder_is_deleted_and_nothing_beside_it(folder: Folder) -> None:
    beside = ["checkpoints/1/100/state.json", "checkpoints/1/1.json", "model/a"]
    for path in [*beside, *(f"checkpoints/1/10/{n}" for n in range(12)), "checkpoints/1/10/deep/x"]:
        folder.put(path, b"x")
    folder.delete_all("checkpoints/1/10")
    folder.delete_all("checkpoints/1/10/")
    assert [path for path, _ in folder.list()] == sorted(beside)
    folder.delete_all("nowhere")
    for path in ("", "/", "..", "a/../.."):
        with pytest.raises(ValueError, match="not a path inside"):
            folder.delete_all(path)
    assert [path for path, _ in folder.list()] == sorted(beside)


def test_more_than_a_thousand_files_are_deleted_at_once(folder: Folder) -> None:
    """S3 deletes a thousand in a request."""
    for number in range(1_050):
        folder.put(f"many/{number}", b"")
    folder.delete_all("many")
    assert folder.list() == []


def test_put_new_leaves_what_is_there(folder: Folder) -> None:
    folder.put_new("MANIFEST.json", b"first")
    with pytest.raises(OutputExists, match=r"/runs(/\w+)?/MANIFEST\.json exists already"):
        folder.put_new("MANIFEST.json", b"second")
    assert folder.get("MANIFEST.json") == b"first"
    assert [path for path, _ in folder.list()] == ["MANIFEST.json"]


def test_of_many_writers_of_a_new_file_exactly_one_wins(folder: Folder) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        try:
            folder.put_new("claim", str(number).encode() * 1000)
        except OutputExists:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert folder.get("claim") == str(won[0]).encode() * 1000


def test_the_opener_chooses_the_failure_for_what_is_missing(place: tuple[str, Site]) -> None:
    uri, site = place
    with pytest.raises(DataNotFound):
        open_folder(uri, site).get("a.csv")
    with pytest.raises(ModelNotFound):
        open_folder(uri, site, missing=ModelNotFound).get("config.json")
