from pathlib import Path

import pytest

from finetune_api.failures import SpecInvalid
from finetune_trainer.storage import Address, parse_address

BASE = Path("/jobs/first")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file://./rows.csv", "/jobs/first/rows.csv"),
        ("file://rows.csv", "/jobs/first/rows.csv"),
        ("file://data/rows.csv", "/jobs/first/data/rows.csv"),
        ("file://../rows.csv", "/jobs/rows.csv"),
        ("file:///data/rows.csv", "/data/rows.csv"),
        ("file://localhost/data/rows.csv", "/data/rows.csv"),
        ("file://./with%20space.csv", "/jobs/first/with space.csv"),
        ("file://./100%25.csv", "/jobs/first/100%.csv"),
        ("file://~/rows.csv", "/jobs/first/~/rows.csv"),
        ("file://./folder/", "/jobs/first/folder"),
    ],
)
def test_files_are_relative_to_the_manifest_unless_they_begin_with_a_slash(uri: str, path: str) -> None:
    assert parse_address(uri, BASE) == Address("file", "", path)


@pytest.mark.parametrize(
    ("uri", "bucket", "path"),
    [
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://models/a/b.csv", "models", "a/b.csv"),
        ("s3://models/a%20b.csv", "models", "a%20b.csv"),
        ("gs://models/a/", "models", "a"),
        ("az://container/a", "container", "a"),
        ("pvc://models", "models", ""),
        ("pvc://models.v2/a%20b/", "models.v2", "a%20b"),
        ("configmap://tickets/train.csv", "tickets", "train.csv"),
    ],
)
def test_objects_have_a_bucket_and_a_literal_key(uri: str, bucket: str, path: str) -> None:
    address = parse_address(uri, BASE)
    assert (address.bucket, address.path) == (bucket, path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3:///key",
        "s3://a b/key",
        "s3://-x/key",
        "file://",
        "http://x/y",
        "rows.csv",
        "s3:x",
        "pvc://A/b",
        "pvc://a/../b",
        "configmap://a",
    ],
)
def test_what_is_no_address_is_refused_with_a_pattern_to_follow(uri: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse_address(uri, BASE)
    assert "://" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    "uri", ["file:///a/with space/100%.csv", "file:///a/ü#?.csv", "s3://models/a/b%20c", "pvc://a/b"]
)
def test_an_address_reads_back_what_it_prints(uri: str) -> None:
    address = parse_address(uri.replace("%.", "%25."), BASE)
    assert parse_address(str(address), Path("/elsewhere")) == address


def test_parent_and_name() -> None:
    address = parse_address("s3://models/a/b.csv", BASE)
    assert str(address.parent) == "s3://models/a"
    assert address.name == "b.csv"
