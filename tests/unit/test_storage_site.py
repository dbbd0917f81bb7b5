"""What addresses and Secrets mean in a pod: volumes, allowed files, credentials, and that nothing leads out of them."""

import json
from pathlib import Path

import pytest

from finetune_api.base import SecretReference
from finetune_api.data import DataSource
from finetune_api.failures import (
    DataNotFound,
    JobFailure,
    ModelNotFound,
    OutputNotWritable,
    PermissionDenied,
    Problem,
    SpecInvalid,
)
from finetune_api.model import ModelSource
from finetune_api.output import Output
from finetune_api.run_file import Stores
from finetune_trainer.data.reading.sources import read_rows
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.storage import Mounts, Site, hub_token, ignored_keys, open_folder, redacted
from finetune_trainer.storage.credentials import store_settings

CANARY = "canary-7f3a-never-show-me"
SECRET = SecretReference(name="store-keys")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": CANARY}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A pod with a ConfigMap as the kubelet mounts it, a claim, and a file beside them that is nobody's business."""
    mounts = Mounts.below(tmp_path, "team-a")
    versions = mounts.config_maps / "tickets" / "..2026"
    versions.mkdir(parents=True)
    (versions / "train.csv").write_text("text,label\ngood,a\n")
    (versions.parent / "..data").symlink_to("..2026")
    (versions.parent / "train.csv").symlink_to("..data/train.csv")
    (mounts.claims / "rows" / "2026").mkdir(parents=True)
    (mounts.claims / "rows" / "2026" / "a.csv").write_text("text,label\nfine,b\n")
    (tmp_path / "private.csv").write_text(f"{CANARY}\n1\n")
    return Site(tmp_path, mounts)


def mount_secret(site: Site, **keys: str) -> None:
    assert site.mounts is not None
    folder = site.mounts.secrets / SECRET.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in keys.items():
        (folder / name).write_text(value)


def rows(site: Site, uri: str) -> list[str]:
    return [row.values["text"] for row in read_rows(DataSource(uri=uri), site, field="spec.data.train[0]")]  # type: ignore[union-attr]


def test_rows_of_volumes(site: Site) -> None:
    assert rows(site, "configmap://tickets/train.csv") == ["good"]
    assert rows(site, "pvc://rows/2026/a.csv") == rows(site, "pvc://rows/") == rows(site, "pvc://rows/2026") == ["fine"]
    (row,) = read_rows("pvc://rows/2026/", site)
    assert row.place.file == "pvc://rows/2026/a.csv"


@pytest.mark.causes("DataNotFound")
@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("configmap://tickets/test.csv", "configmap://tickets/test.csv does not exist", "tickets has train.csv"),
        (
            "configmap://other/a.csv",
            "no ConfigMap other in namespace team-a",
            "create configmap other --from-file=a.csv",
        ),
        ("pvc://rows/2027/a.csv", "pvc://rows/2027/a.csv does not exist", "pvc://rows has 2026"),
        ("pvc://rows/2026/b.csv", "pvc://rows/2026/b.csv does not exist", "pvc://rows/2026 has a.csv"),
        ("pvc://other/a.csv", "no claim other in namespace team-a", "get pvc"),
    ],
)
def test_what_is_missing_is_named_with_what_there_is(site: Site, uri: str, message: str, hint: str) -> None:
    with pytest.raises(DataNotFound) as caught:
        rows(site, uri)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert hint in problem.hint
    assert problem.where == "spec.data.train[0].uri"
    assert str(site.base) not in str(caught.value), "users know addresses, not the pod's paths"


@pytest.mark.causes("PermissionDenied")
def test_links_of_a_claim_lead_nowhere_else(site: Site) -> None:
    """Who may write to a claim could otherwise read the pod's Secrets: messages about rows quote them."""
    assert site.mounts is not None
    folder = site.mounts.claims / "rows"
    (folder / "link.csv").symlink_to("../../../private.csv")
    (folder / "folder").symlink_to("../../..")
    (folder / "inside.csv").symlink_to("2026/a.csv")
    assert rows(site, "pvc://rows/inside.csv") == ["fine"]
    for uri in ("pvc://rows/link.csv", "pvc://rows/folder/private.csv", "pvc://rows/folder/"):
        with pytest.raises(JobFailure) as caught:
            rows(site, uri)
        assert CANARY not in str(caught.value)
        assert not isinstance(caught.value, DataNotFound) or "no data file" in str(caught.value)
    with pytest.raises(PermissionDenied, match=r"pvc://rows/link\.csv leads out of rows"):
        rows(site, "pvc://rows/link.csv")
    with pytest.raises(PermissionDenied, match="leads out"):
        open_folder("pvc://rows/folder", site).put("x.txt", b"x")


@pytest.mark.causes("PermissionDenied")
def test_links_in_a_model_of_a_claim(site: Site) -> None:
    assert site.mounts is not None
    model = site.mounts.claims / "models" / "mine"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound, match=r"no weights at pvc://models/mine"):
        fetch_model(ModelSource(uri="pvc://models/mine"), site)
    (model / "model.safetensors").symlink_to("../../../../private.csv")
    with pytest.raises(PermissionDenied, match="leads out of its volume"):
        fetch_model(ModelSource(uri="pvc://models/mine"), site)


def test_files_are_read_below_allowed_roots_only(site: Site, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "a.csv").write_text("text\nfrom the image\n")
    (tmp_path / "opt" / "link.csv").symlink_to("../private.csv")
    allowed = Site(site.base, site.mounts, Stores(file_roots=[f"{tmp_path}/opt"]))
    assert rows(allowed, f"file://{tmp_path}/opt/a.csv") == ["from the image"]
    for uri in (
        f"file://{tmp_path}/private.csv",
        f"file://{tmp_path}/opt/../private.csv",
        f"file://{tmp_path}/opt/%2e%2e/private.csv",
        f"file://{tmp_path}/optional/x.csv",
        f"file://{tmp_path}/opt/link.csv",
        "file://./private.csv",
    ):
        with pytest.raises(PermissionDenied):
            rows(allowed, uri)
    with pytest.raises(PermissionDenied, match="may not be read in this cluster"):
        rows(site, f"file://{tmp_path}/opt/a.csv")


@pytest.mark.causes("SpecInvalid")
def test_an_output_that_would_be_lost_with_the_pod(site: Site) -> None:
    with pytest.raises(SpecInvalid, match="would be lost with its pod") as caught:
        OutputFolder(Output(uri="file:///scratch/out"), site, "job", "uid")
    assert caught.value.problems[0].where == "spec.output.uri"


def test_results_in_a_claim_have_its_address(site: Site) -> None:
    assert site.mounts is not None
    (site.mounts.claims / "results").mkdir()
    output = OutputFolder(Output(uri="pvc://results/team-a/"), site, "job", "uid")
    output.claim()
    assert output.uri("model") == "pvc://results/team-a/job/uid/model"
    assert (site.mounts.claims / "results/team-a/job/uid/claims/1").is_file()
    (site.mounts.claims / "results/team-a/job/uid/model").write_text("in the way")
    with pytest.raises(OutputNotWritable, match="pvc://results/team-a/job/uid/model/a") as caught:
        output.put("model/a", b"x")
    assert str(site.base) not in str(caught.value)


def test_volumes_are_of_clusters_only(tmp_path: Path) -> None:
    for uri in ("pvc://rows/a.csv", "configmap://tickets/a.csv"):
        with pytest.raises(SpecInvalid, match="in a cluster only"):
            rows(Site(tmp_path), uri)


def test_a_secret_gives_credentials_and_nothing_else(site: Site) -> None:
    endpoint = {"AWS_ENDPOINT_URL": "http://evil:1", "AWS_ENDPOINT_URL_S3": "http://evil:2", "AWS_REGION": "x.evil/"}
    mount_secret(site, **KEYS, **endpoint, notes="x")
    admin = {"AWS_ENDPOINT_URL": "http://minio:9000", "AWS_REGION": "eu-north-1"}
    ours = Site(site.base, site.mounts, Stores(settings=admin))
    assert store_settings("s3", SECRET, ours) == {**admin, **KEYS}
    assert ignored_keys(SECRET, ours) == sorted(endpoint)
    trusting = Site(site.base, site.mounts, Stores(settings=admin, endpoints_from_secrets=True))
    assert store_settings("s3", SECRET, trusting) == {**KEYS, **endpoint}
    assert ignored_keys(SECRET, trusting) == []
    assert store_settings("s3", None, ours) == admin
    assert store_settings("s3", None, site) is None


def test_a_region_may_come_from_the_secret(site: Site) -> None:
    mount_secret(site, **KEYS, AWS_REGION="us-west-2")
    ours = Site(site.base, site.mounts, Stores(settings={"AWS_REGION": "eu-north-1"}))
    assert store_settings("s3", SECRET, ours) == {**KEYS, "AWS_REGION": "us-west-2"}
    assert ignored_keys(SECRET, ours) == []


def test_a_google_key_loses_the_address_in_it(site: Site) -> None:
    key = {"type": "service_account", "private_key": CANARY, "client_email": "a@b", "gcs_base_url": "http://evil"}
    mount_secret(site, GOOGLE_APPLICATION_CREDENTIALS=json.dumps(key))
    settings = store_settings("gs", SECRET, site)
    assert settings is not None
    assert json.loads(settings["GOOGLE_SERVICE_ACCOUNT_KEY"]) == {k: v for k, v in key.items() if k != "gcs_base_url"}
    mount_secret(site, GOOGLE_APPLICATION_CREDENTIALS="/etc/passwd")
    with pytest.raises(PermissionDenied, match="not a service account's key"):
        store_settings("gs", SECRET, site)


def test_tokens_of_the_hub(site: Site, tmp_path: Path) -> None:
    assert hub_token(None, site) is None
    mount_secret(site, token="hf_abcdef\n")
    assert hub_token(SECRET, site) == "hf_abcdef"
    assert hub_token(SECRET, Site(tmp_path)) is None, "the environment's, outside of clusters"


@pytest.mark.causes("PermissionDenied")
@pytest.mark.parametrize(
    ("scheme", "keys", "words"),
    [
        (
            "s3",
            {},
            ["it is missing", "--from-literal=AWS_ACCESS_KEY_ID=...", "--from-literal=AWS_SECRET_ACCESS_KEY=..."],
        ),
        ("s3", {"AWS_SECRET_ACCESS_KEY": CANARY}, ["AWS_ACCESS_KEY_ID", "it has AWS_SECRET_ACCESS_KEY"]),
        ("s3", {"accessKey": "AKID", "secretKey": CANARY}, ["no keys of that kind"]),
        ("az", {"AZURE_STORAGE_ACCOUNT_NAME": "a"}, ["AZURE_STORAGE_ACCOUNT_KEY"]),
        ("gs", {}, ["GOOGLE_SERVICE_ACCOUNT_KEY"]),
        ("hf", {}, ["HF_TOKEN"]),
    ],
)
def test_a_secret_that_does_not_do(site: Site, scheme: str, keys: dict[str, str], words: list[str]) -> None:
    mount_secret(site, **keys)
    with pytest.raises(PermissionDenied) as caught:
        store_settings(scheme, SECRET, site)
    text = str(caught.value)
    assert all(word in text for word in (*words, "Secret store-keys in namespace team-a", f"{scheme}://"))
    assert "kubectl -n team-a create secret generic store-keys" in text
    assert CANARY not in text


def test_a_secret_has_nothing_to_say_outside_of_clusters(tmp_path: Path) -> None:
    assert store_settings("s3", SECRET, Site(tmp_path)) is None


def test_what_a_library_quotes_is_taken_out(site: Site) -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"
    mount_secret(site, **KEYS, HF_TOKEN="hf_token_value", GOOGLE_SERVICE_ACCOUNT_KEY=key, AWS_REGION="us-east-1")
    cause = ValueError(CANARY)
    failure = SpecInvalid(Problem(f"Bearer hf_token_value and {CANARY} in us-east-1", f"at {CANARY}", f"drop {CANARY}"))
    failure.__cause__ = cause
    clean = redacted(failure, site)
    assert clean.problems == (Problem("Bearer *** and *** in us-east-1", "at ***", "drop ***"),)
    assert isinstance(clean, SpecInvalid)
    assert clean.__cause__ is cause
    innocent = SpecInvalid("nothing in it")
    assert redacted(innocent, site) is innocent
