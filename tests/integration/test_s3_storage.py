import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # plain modules, which scripts use too

from s3_server import S3Server, S3ServerMissingError, find, running

from finetune_api.data import Data
from finetune_api.failures import (
    DataNotFound,
    ModelNotFound,
    OutputExists,
    OutputNotWritable,
    PermissionDenied,
    StorageUnavailable,
)
from finetune_trainer.data import prepare
from finetune_trainer.storage import Folder, Patience, mounted_credentials, open_folder

TABLE = "text,label\n" + "".join(
    f"Row {n} tells {'a long story of rain' if n % 2 else 'in short that the sun is out'} {n * n},{'ab'[n % 2]}\n"
    for n in range(60)
)
HERE = Path("/")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server. Skips where it can't be had, and fails instead with FINETUNE_REQUIRE_S3=1."""
    try:
        find()
    except S3ServerMissingError as missing:
        if os.environ.get("FINETUNE_REQUIRE_S3", "0") not in ("", "0"):
            pytest.fail(f"no S3 server, and FINETUNE_REQUIRE_S3 is set: {missing}", pytrace=False)
        pytest.skip(f"no S3 server: {missing}")
    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def folder(s3: S3Server, tmp_path: Path) -> Folder:
    s3.bucket("models")
    return open_folder(f"s3://models/runs/{tmp_path.name}", HERE, s3.credentials)


def hurried(uri: str, credentials: dict[str, str]) -> Folder:
    return open_folder(uri, HERE, credentials, patience=Patience(retries=1, seconds=2))


def test_what_is_put_can_be_listed_read_and_deleted(folder: Folder, tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(os.urandom(20_000_000))
    folder.put("model/weights.bin", weights)
    folder.put("odd names/ü %20 #?&+.txt", b"x")
    assert folder.list() == [("model/weights.bin", 20_000_000), ("odd names/ü %20 #?&+.txt", 1)]
    assert folder.list("model") == [("model/weights.bin", 20_000_000)]
    assert folder.fetch("model/weights.bin", tmp_path / "scratch").read_bytes() == weights.read_bytes()
    assert folder.get("odd names/ü %20 #?&+.txt") == b"x"
    assert (folder.exists("model/weights.bin"), folder.exists("model"), folder.exists("other")) == (True, False, False)
    folder.delete("model/weights.bin")
    folder.delete("model/weights.bin")
    assert folder.list("model") == []


@pytest.mark.causes("OutputExists")
def test_put_new_leaves_what_is_there(folder: Folder) -> None:
    folder.put_new("MANIFEST.json", b"first")
    with pytest.raises(OutputExists, match=r"s3://models/runs/\w+/MANIFEST\.json exists already"):
        folder.put_new("MANIFEST.json", b"second")
    assert folder.get("MANIFEST.json") == b"first"


def test_of_many_writers_of_a_new_object_exactly_one_wins(folder: Folder) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        try:
            folder.put_new("claim", str(number).encode())
        except OutputExists:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert folder.get("claim") == str(won[0]).encode()


@pytest.mark.parametrize("uri", ["s3://rows/train/a.csv", "s3://rows/train/"])
def test_rows_are_read_from_an_object_or_a_prefix(s3: S3Server, uri: str) -> None:
    train = s3.bucket("rows") / "train"
    train.mkdir(exist_ok=True)
    (train / "a.csv").write_text(TABLE)
    (train / "notes.txt").write_text("no data")
    result = prepare(Data.model_validate({"train": [{"uri": uri}]}), base=HERE, credentials=s3.credentials)
    assert {name: len(rows) for name, rows in result.splits.items()} == {"train": 48, "validation": 6, "test": 6}
    assert result.report.files == ["s3://rows/train/a.csv"]


def test_credentials_come_from_the_environment_or_a_mounted_secret(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (s3.bucket("rows") / "one.txt").write_text("x")
    for name, value in s3.credentials.items():
        (tmp_path / name).write_text(value + "\n")
        monkeypatch.setenv(name, "http://127.0.0.1:1" if "ENDPOINT" in name else "wrong")
    assert open_folder("s3://rows", HERE, mounted_credentials(tmp_path)).get("one.txt") == b"x"
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    assert open_folder("s3://rows", HERE).get("one.txt") == b"x"


@pytest.mark.causes("PermissionDenied")
@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("action", ["get", "exists", "list", "put", "put_new"])
def test_wrong_keys_are_refused_and_never_shown(s3: S3Server, wrong: str, action: str) -> None:
    (s3.bucket("rows") / "one.txt").write_text("x")
    refused = hurried("s3://rows", {**s3.credentials, wrong: "not-the-right-one"})
    arguments = {"list": ("",), "put": ("one.txt", b"y"), "put_new": ("new.txt", b"y")}.get(action, ("one.txt",))
    with pytest.raises(PermissionDenied, match="credentials were refused") as caught:
        getattr(refused, action)(*arguments)
    message = str(caught.value)
    assert not any(word in message for word in ("not-the-right-one", s3.access_key, s3.secret_key, "Signature="))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.causes("DataNotFound")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://rows/nowhere.csv", "there is nothing"),
        ("s3://nowhere/rows.csv", "there is no such bucket"),
        ("s3://rows/nowhere/", "no data file below"),
        ("s3://nowhere/rows/", "there is no such bucket"),
    ],
)
def test_data_that_is_not_there(s3: S3Server, uri: str, message: str) -> None:
    s3.bucket("rows")
    with pytest.raises(DataNotFound, match=message):
        prepare(Data.model_validate({"train": [{"uri": uri}]}), base=HERE, credentials=s3.credentials)


def test_the_opener_chooses_the_failure_for_what_is_missing(s3: S3Server) -> None:
    s3.bucket("models")
    with pytest.raises(ModelNotFound):
        open_folder("s3://models/base", HERE, s3.credentials, missing=ModelNotFound).get("config.json")


@pytest.mark.causes("OutputNotWritable")
def test_a_bucket_to_write_to_that_does_not_exist(s3: S3Server) -> None:
    for action in ("put", "put_new"):
        with pytest.raises(OutputNotWritable, match="there is no such bucket"):
            getattr(open_folder("s3://nowhere/out", HERE, s3.credentials), action)("a.txt", b"x")


@pytest.mark.causes("StorageUnavailable")
@pytest.mark.parametrize("action", ["get", "exists", "list", "put", "put_new"])
def test_a_server_that_is_down(s3: S3Server, action: str) -> None:
    down = hurried("s3://rows", {**s3.credentials, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    arguments = {"list": ("",), "put": ("one.txt", b"y"), "put_new": ("new.txt", b"y")}.get(action, ("one.txt",))
    with pytest.raises(StorageUnavailable, match="did not answer"):
        getattr(down, action)(*arguments)
