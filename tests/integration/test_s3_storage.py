import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import S3Server

from finetune_api.data import Data
from finetune_api.failures import (
    DataNotFound,
    OutputNotWritable,
    PermissionDenied,
    StorageUnavailable,
)
from finetune_api.model import ModelSource
from finetune_api.run_file import Stores
from finetune_trainer.data import prepare
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.storage import Folder, Patience, Site, open_folder
from finetune_trainer.storage.credentials import mounted_credentials

TABLE = "text,label\n" + "".join(
    f"Row {n} tells {'a long story of rain' if n % 2 else 'in short that the sun is out'} {n * n},{'ab'[n % 2]}\n"
    for n in range(60)
)


def site(credentials: dict[str, str]) -> Site:
    return Site(Path("/"), stores=Stores(settings=credentials))


def hurried(uri: str, credentials: dict[str, str]) -> Folder:
    return open_folder(uri, site(credentials), patience=Patience(retries=1, seconds=2))


@pytest.mark.parametrize("uri", ["s3://rows/train/a.csv", "s3://rows/train/"])
def test_rows_are_read_from_an_object_or_a_prefix(s3: S3Server, uri: str) -> None:
    train = s3.bucket("rows") / "train"
    train.mkdir(exist_ok=True)
    (train / "a.csv").write_text(TABLE)
    (train / "notes.txt").write_text("no data")
    result = prepare(Data.model_validate({"train": [{"uri": uri}]}), site=site(s3.credentials))
    assert {name: len(rows) for name, rows in result.splits.items()} == {"train": 48, "validation": 6, "test": 6}
    assert result.report.files == ["s3://rows/train/a.csv"]


def test_credentials_come_from_the_environment_or_a_mounted_secret(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (s3.bucket("rows") / "one.txt").write_text("x")
    for name, value in s3.credentials.items():
        (tmp_path / name).write_text(value + "\n")
        monkeypatch.setenv(name, "http://127.0.0.1:1" if "ENDPOINT" in name else "wrong")
    assert open_folder("s3://rows", site(mounted_credentials(tmp_path))).get("one.txt") == b"x"
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    assert open_folder("s3://rows", Site(Path("/"))).get("one.txt") == b"x"


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
        prepare(Data.model_validate({"train": [{"uri": uri}]}), site=site(s3.credentials))


@pytest.mark.causes("OutputNotWritable")
def test_a_bucket_to_write_to_that_does_not_exist(s3: S3Server) -> None:
    for action in ("put", "put_new"):
        with pytest.raises(OutputNotWritable, match="there is no such bucket"):
            getattr(open_folder("s3://nowhere/out", site(s3.credentials)), action)("a.txt", b"x")


@pytest.mark.causes("StorageUnavailable")
@pytest.mark.parametrize("action", ["get", "exists", "list", "put", "put_new"])
def test_a_server_that_is_down(s3: S3Server, action: str) -> None:
    down = hurried("s3://rows", {**s3.credentials, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    arguments = {"list": ("",), "put": ("one.txt", b"y"), "put_new": ("new.txt", b"y")}.get(action, ("one.txt",))
    with pytest.raises(StorageUnavailable, match="did not answer"):
        getattr(down, action)(*arguments)


def test_a_model_is_fetched_again_only_where_it_changed(
    s3: S3Server, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    bucket = s3.bucket(f"models-{tmp_path.name.replace('_', '-')[-20:]}x")
    shutil.copytree(tiny_model("bert"), bucket / "tiny")
    source = ModelSource(uri=f"s3://{bucket.name}/tiny")
    ours = Site(tmp_path, stores=Stores(settings=s3.credentials))
    without = fetch_model(source, ours, weights=False)
    assert not (without.folder / "model.safetensors").exists()
    first = fetch_model(source, ours)
    copy = first.folder / "model.safetensors"
    fetched = copy.stat().st_mtime_ns
    digest = first.digest()
    assert fetch_model(source, ours).folder == first.folder == without.folder
    assert copy.stat().st_mtime_ns == fetched, "nothing changed, nothing is fetched"
    weights = bytearray(copy.read_bytes())
    weights[-1] ^= 1
    open_folder(source.uri, ours).put("model.safetensors", bytes(weights))
    assert fetch_model(source, ours).digest() != digest, "of the same size, but another"
