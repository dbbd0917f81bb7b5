import errno
import os
from pathlib import Path

import pytest

from finetune_api.failures import (
    DataNotFound,
    ModelNotFound,
    OutputExists,
    OutputNotWritable,
    PermissionDenied,
    StorageUnavailable,
)
from finetune_trainer.storage import Site, open_folder
from finetune_trainer.storage.disk_errors import reading, writing


def test_an_absent_folder_is_an_empty_one(tmp_path: Path) -> None:
    assert open_folder("file://./nowhere", Site(tmp_path)).list() == []


def test_file_systems_without_links_keep_what_is_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "this file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    folder = open_folder("file://.", Site(tmp_path))
    folder.put_new("MANIFEST.json", b"first")
    with pytest.raises(OutputExists):
        folder.put_new("MANIFEST.json", b"second")
    assert folder.get("MANIFEST.json") == b"first"


def test_unfinished_writes_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".0123456789abcdef.partial").write_bytes(b"half")
    assert open_folder("file://.", Site(tmp_path)).list() == []


def test_unfinished_writes_and_empty_folders_are_deleted_too(tmp_path: Path) -> None:
    folder = open_folder("file://./out", Site(tmp_path))
    folder.put("checkpoints/1/10/a", b"x")
    (tmp_path / "out/checkpoints/1/10/.0123456789abcdef.partial").write_bytes(b"half")
    folder.delete_all("checkpoints/1/10")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_is_deleted_and_not_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_bytes(b"x")
    folder = open_folder("file://./out", Site(tmp_path))
    folder.put("checkpoints/1/10/a", b"x")
    (tmp_path / "out/checkpoints/1/10/link").symlink_to(tmp_path / "elsewhere")
    folder.delete_all("checkpoints")
    assert (tmp_path / "elsewhere/precious").exists()


def test_fetch_gives_the_file_itself_and_download_a_copy(tmp_path: Path) -> None:
    folder = open_folder("file://.", Site(tmp_path))
    folder.put("a/b.txt", b"x")
    assert folder.fetch("a/b.txt", tmp_path / "scratch") == tmp_path / "a/b.txt"
    folder.download("a/b.txt", tmp_path / "deep/copy.txt")
    assert (tmp_path / "deep/copy.txt").read_bytes() == b"x"
    assert folder.uri("a/b.txt") == f"file://{tmp_path}/a/b.txt"


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_no_path_leaves_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        open_folder("file://.", Site(tmp_path)).get(path)


def test_the_opener_chooses_the_failure_for_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="does not exist"):
        open_folder("file://.", Site(tmp_path)).get("a.csv")
    with pytest.raises(ModelNotFound, match="does not exist"):
        open_folder("file://.", Site(tmp_path), missing=ModelNotFound).fetch("config.json", tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataNotFound, match="is a folder"):
        open_folder("file://.", Site(tmp_path)).get("folder")


def test_a_misspelt_path_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "support_tickets.csv").write_text("text,label")
    folder = open_folder("file://.", Site(tmp_path))
    for asked, hint in (
        ("suport_tickets.csv", "did you mean support_tickets.csv?"),
        ("rows.parquet", "check the path"),
        ("data/rows.csv", f"check the path: there is no folder {tmp_path}/data"),
    ):
        with pytest.raises(DataNotFound) as failure:
            folder.get(asked)
        assert failure.value.problems[0].hint == hint


@pytest.mark.causes("OutputNotWritable")
def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(OutputNotWritable, match="in the way"):
        open_folder("file://./out", Site(tmp_path)).put("a.txt", b"x")


def test_a_disk_without_room() -> None:
    with (
        pytest.raises(OutputNotWritable, match="no room"),
        Path("/dev/full").open("wb", buffering=0) as full,
        writing(Path("x")),
    ):
        full.write(b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_what_this_user_may_not_touch(tmp_path: Path) -> None:
    folder = open_folder("file://.", Site(tmp_path))
    folder.put("a", b"x")
    (tmp_path / "a").chmod(0)
    with pytest.raises(PermissionDenied):
        folder.get("a")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputNotWritable):
        folder.put("b", b"x")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.EACCES, PermissionDenied),
        (errno.ENOENT, DataNotFound),
        (errno.ESTALE, StorageUnavailable),
    ],
)
def test_errors_of_the_disk_while_reading(number: int, failure: type[Exception]) -> None:
    with pytest.raises(failure, match="x"), reading(Path("x"), DataNotFound):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.EROFS, OutputNotWritable),
        (errno.EDQUOT, OutputNotWritable),
        (errno.EIO, StorageUnavailable),
        (errno.ENAMETOOLONG, OutputNotWritable),
    ],
)
def test_errors_of_the_disk_while_writing(number: int, failure: type[Exception]) -> None:
    with pytest.raises(failure, match="x"), writing(Path("x")):
        raise OSError(number, os.strerror(number))
