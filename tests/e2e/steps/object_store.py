"""The object store of the tests, filled and read as a user would: by obstore, from outside of the cluster."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from obstore.store import S3Store

from finetune_api.manifest import MANIFEST_NAME, Manifest

DATA = Path(__file__).parents[3] / "examples" / "data"


def open_bucket(endpoint: str, access_key: str, secret_key: str, bucket: str = "finetune") -> S3Store:
    """Open a bucket of the S3 server at `endpoint`."""
    return S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id=access_key,
        secret_access_key=secret_key,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def upload(store: S3Store, prefix: str, files: Iterable[Path]) -> None:
    """Put files below `prefix` by their names."""
    for file in files:
        store.put(f"{prefix}/{file.name}", file)


def verified_manifest(store: S3Store, prefix: str) -> Manifest:
    """Read the output at `prefix`, compare every file with the manifest, and return it.

    Raises `AssertionError` where a file is missing, too many, or not what the manifest says.
    """
    manifest = Manifest.model_validate_json(content(store, f"{prefix}/{MANIFEST_NAME}"))
    listed = {entry.path: entry.sha256 for entry in manifest.files}
    assert {path: sha256(content(store, f"{prefix}/{path}")).hexdigest() for path in listed} == listed
    paths = {str(item["path"]).removeprefix(f"{prefix}/") for page in store.list(prefix) for item in page}
    assert {path for path in paths if not path.startswith(("claims/", "checkpoints/"))} == {*listed, MANIFEST_NAME}
    return manifest


def content(store: S3Store, path: str) -> bytes:
    """Read a whole object."""
    return bytes(store.get(path).bytes())


def report(store: S3Store, prefix: str) -> dict[str, object]:
    """Read the report of the output at `prefix`."""
    return dict(json.loads(content(store, f"{prefix}/report/report.json")))
