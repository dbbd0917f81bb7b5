from pathlib import Path

import pytest

from finetune_api.failures import DataNotFound, PermissionDenied, SpecInvalid
from finetune_api.run_file import Stores
from finetune_trainer.storage import Site, open_folder
from finetune_trainer.storage.answers import Meaning, understand, writing_failure
from finetune_trainer.storage.credentials import mounted_credentials
from finetune_trainer.storage.object_stores import client_options, s3_keys, store_config

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-very-secret-key"}
ANSWER = (
    "Generic S3 error: Error performing GET http://host/bucket/a?X-Amz-Signature=deadbeef in 1ms - Server returned"
    " non-2xx status code: {status}: <Error><Code>{code}</Code><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId></Error>"
)


def test_a_mounted_secret_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("AKIDEXAMPLE\n")
    (tmp_path / "notes.txt").write_text("ignored")
    (tmp_path / "..data").mkdir()
    assert mounted_credentials(tmp_path) == {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}


def test_given_keys_are_not_mixed_with_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    keys = s3_keys(KEYS)
    assert keys is not None
    assert keys["token"] is None
    assert s3_keys(None) is None


def test_plain_http_is_used_only_where_the_endpoint_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    assert client_options("s3", {"AWS_ENDPOINT_URL": "http://minio:9000"})["allow_http"]
    assert not client_options("s3", {"AWS_ENDPOINT_URL": "https://minio:9000"})["allow_http"]
    assert not client_options("s3", {})["allow_http"]


def test_endpoint_and_region_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000/")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert store_config("s3", KEYS) == {"endpoint": "http://minio:9000", "region": "eu-north-1"}


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://", "http://user:secret@minio", "http://a b"])
def test_an_endpoint_that_is_none_is_named_but_not_shown(endpoint: str) -> None:
    with pytest.raises(SpecInvalid, match="AWS_ENDPOINT_URL is no address") as caught:
        open_folder("s3://bucket/x", Site(Path("/"), stores=Stores(settings={**KEYS, "AWS_ENDPOINT_URL": endpoint})))
    assert endpoint not in str(caught.value)


@pytest.mark.causes("PermissionDenied")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "line\nbreak"}, "AWS_SECRET_ACCESS_KEY holds characters"),
        ({"AWS_ACCESS_KEY_ID": "schlüssel"}, "AWS_ACCESS_KEY_ID holds characters"),
    ],
)
def test_keys_that_cant_be_sent(changed: dict[str, str], message: str) -> None:
    with pytest.raises(PermissionDenied, match=message) as caught:
        open_folder("s3://bucket/x", Site(Path("/"), stores=Stores(settings={**KEYS, **changed})))
    assert not any(value and value in str(caught.value) for value in changed.values())


def test_azure_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(PermissionDenied, match="name of an account"):
        open_folder("az://container/x", Site(Path("/")))


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        ("403 Forbidden", "SignatureDoesNotMatch", Meaning.DENIED),
        ("404 Not Found", "XAdminUserNotFound", Meaning.DENIED),
        ("400 Bad Request", "ExpiredToken", Meaning.DENIED),
        ("404 Not Found", "NoSuchBucket", Meaning.NO_BUCKET),
        ("404 Not Found", "NoSuchKey", Meaning.MISSING),
        ("301 Moved", "PermanentRedirect", Meaning.REFUSED),
        ("503 Slow", "SlowDown", Meaning.UNAVAILABLE),
        ("429 Slow", "TooManyRequests", Meaning.UNAVAILABLE),
    ],
)
def test_answers_are_understood_and_never_quoted(status: str, code: str, meaning: Meaning) -> None:
    answer = understand(ANSWER.format(status=status, code=code), not_found=False, denied=False)
    assert answer.meaning is meaning
    message = str(writing_failure(answer, "s3://bucket/a"))
    assert "AKIDEXAMPLE" not in message
    assert "deadbeef" not in message


def test_a_search_for_instance_credentials_that_fails_means_there_are_none() -> None:
    text = "Error performing PUT http://169.254.169.254/latest/api/token in 5s - HTTP error: error sending request"
    assert understand(text, not_found=False, denied=False).meaning is Meaning.NO_CREDENTIALS


def test_a_missing_local_file_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=str(tmp_path / "rows.csv")):
        open_folder("file://.", Site(tmp_path)).get("rows.csv")


@pytest.mark.parametrize(
    "quoted",
    ["'eu-north-1' is wrong; expecting 'us-east-1'", "&#34;eu-north-1&#34; is wrong; expecting &#34;us-east-1&#34;"],
)
def test_a_wrong_region_is_read_as_stores_quote_it(quoted: str) -> None:
    text = f"400 <Code>AuthorizationHeaderMalformed</Code><Message>malformed; the region {quoted}</Message>"
    answer = understand(text, not_found=False, denied=True)
    assert (answer.meaning, answer.code) == (
        Meaning.WRONG_REGION,
        "the region is eu-north-1, the store expects us-east-1",
    )
