"""Folders in S3, Google Cloud Storage and Azure: the only module that imports the object-store client."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from time import sleep
from typing import Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from finetune_api.failures import JobFailure, OutputExists, PermissionDenied
from finetune_trainer.storage.addresses import Address
from finetune_trainer.storage.answers import Answer, Meaning, reading_failure, understand, writing_failure
from finetune_trainer.storage.disk_errors import writing
from finetune_trainer.storage.folder import Listing, NotCreateOnlyError, Patience, safe_path
from finetune_trainer.storage.object_stores import (
    ANSWER_SECONDS,
    UPLOAD_SECONDS,
    Given,
    client_options,
    retry_options,
    s3_keys,
    store_config,
)
from finetune_trainer.storage.parts import parts_of

_CHUNK = 8 << 20
_BROKEN_OFF = "Error getting list response body"
_BROKEN_ANSWERS = 4
_FIRST_WAIT = 0.2
_REFUSALS = (BaseError, FileNotFoundError, PermissionError, ValueError)


class ObjectFolder:
    """A prefix of a bucket or container."""

    def __init__(self, address: Address, given: Given, missing: type[JobFailure], patience: Patience) -> None:
        """Take the address, credentials by environment variable names, and retry limits."""
        self._address = address
        self._missing = missing
        self._store = _open(address, given, patience, ANSWER_SECONDS)
        self._uploads = cache(lambda: _open(address, given, patience, UPLOAD_SECONDS))

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Folder.put`."""
        with self._writing(path):
            parts = parts_of(data.stat().st_size if isinstance(data, Path) else len(data))
            store = self._uploads() if isinstance(data, Path) else self._store
            obstore.put(store, self._key(path), data, chunk_size=parts.size, max_concurrency=parts.at_once)

    def put_new(self, path: str, data: bytes) -> None:
        """See `Folder.put_new`: `If-None-Match: *` on S3, its like elsewhere."""
        try:
            obstore.put(self._store, self._key(path), data, mode="create")
        except (AlreadyExistsError, PreconditionError):
            raise OutputExists(f"{self.uri(path)} exists already", hint="choose another output, or delete it") from None
        except _REFUSALS as error:
            answer = _understand(error)
            if answer.meaning is Meaning.NOT_OFFERED:
                raise NotCreateOnlyError(f"{self.uri(path)}: {answer}") from None
            raise writing_failure(answer, self.uri(path)) from None

    def get(self, path: str) -> bytes:
        """See `Folder.get`."""
        with self._reading(path):
            return bytes(obstore.get(self._store, self._key(path)).bytes())

    def download(self, path: str, to: Path) -> None:
        """See `Folder.download`."""
        partial = to.with_name(f".{to.name}.{token_hex(4)}.partial")  # pods may share the folder
        with self._reading(path):
            content = obstore.get(self._store, self._key(path)).stream(min_chunk_size=_CHUNK)
            with writing(to):
                to.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("wb") as copy:
                    copy.writelines(content)
                partial.replace(to)

    def fetch(self, path: str, scratch: Path) -> Path:
        """See `Folder.fetch`."""
        copy = scratch / safe_path(path)
        self.download(path, copy)
        return copy

    def list(self, prefix: str = "") -> Listing:
        """See `Folder.list`."""
        start = self._key(prefix.strip("/")) if prefix.strip("/") else self._address.path
        skip = len(self._address.path) + 1 if self._address.path else 0
        with self._reading(prefix):
            found = self._listed(start)
        return sorted((item["path"][skip:], item["size"]) for item in found if len(item["path"]) > skip)

    def _listed(self, start: str) -> Any:
        """All objects below the key `start`. The client retries missing responses, but not broken ones."""
        for number in range(_BROKEN_ANSWERS):
            try:
                return obstore.list(self._store, prefix=start or None).collect()
            except BaseError as error:
                if _BROKEN_OFF not in str(error):
                    raise
            sleep(_FIRST_WAIT * 2**number)
        return obstore.list(self._store, prefix=start or None).collect()

    def exists(self, path: str) -> bool:
        """See `Folder.exists`. A HEAD request gets no reason with its 404, so a GET asks what is missing."""
        key = self._key(path)
        with suppress(FileNotFoundError), self._reading(path, FileNotFoundError):
            obstore.head(self._store, key)
            return True
        try:
            obstore.get(self._store, key)
        except _REFUSALS as error:
            answer = _understand(error)
            if answer.meaning is Meaning.MISSING:
                return False
            raise reading_failure(answer, self.uri(path), self._missing) from None
        return True

    def delete(self, path: str) -> None:
        """See `Folder.delete`."""
        with self._writing(path):
            obstore.delete(self._store, self._key(path))

    def delete_all(self, prefix: str) -> None:
        """See `Folder.delete_all`. Parts of incomplete uploads are left to lifecycle rules of the bucket."""
        keys = [self._key(path) for path, _ in self.list(safe_path(prefix))]
        with self._writing(prefix):
            if keys:
                obstore.delete(self._store, keys)

    def version(self, path: str) -> str:
        """See `Folder.version`."""
        with self._reading(path):
            found = obstore.head(self._store, self._key(path))
        return str(found["e_tag"] or f"{found['last_modified'].isoformat()}-{found['size']}")

    def uri(self, path: str = "") -> str:
        """See `Folder.uri`."""
        return f"{self._address}/{path}" if path else str(self._address)

    def _key(self, path: str) -> str:
        return f"{self._address.path}/{safe_path(path)}" if self._address.path else safe_path(path)

    @contextmanager
    def _reading(self, path: str, *passing: type[Exception]) -> Iterator[None]:
        with _translated(lambda answer: reading_failure(answer, self.uri(path), self._missing), *passing):
            yield

    @contextmanager
    def _writing(self, path: str, *passing: type[Exception]) -> Iterator[None]:
        with _translated(lambda answer: writing_failure(answer, self.uri(path)), *passing):
            yield


@contextmanager
def _translated(failure: Callable[[Answer], JobFailure], *passing: type[Exception]) -> Iterator[None]:
    """Convert the client's exceptions into failures, except `passing`. The cause is dropped: it may hold secrets."""
    try:
        yield
    except passing:
        raise
    except _REFUSALS as error:
        raise failure(_understand(error)) from None


def _understand(error: Exception) -> Answer:
    return understand(
        str(error),
        not_found=isinstance(error, FileNotFoundError),
        denied=isinstance(error, (PermissionError, PermissionDeniedError, UnauthenticatedError)),
    )


def _open(address: Address, given: Given, patience: Patience, answer_seconds: float) -> ObjectStore:
    settings: Any = {  # the client's types are closed dictionaries, one for each store
        "config": store_config(address.scheme, given),
        "client_options": client_options(address.scheme, given, answer_seconds),
        "retry_config": retry_options(patience),
    }
    keys: Any = s3_keys(given)
    try:
        if address.scheme == "gs":
            return GCSStore(address.bucket, **settings)
        if address.scheme == "az":
            return AzureStore(address.bucket, **settings)
        return S3Store(address.bucket, credential_provider=(lambda: keys) if keys else None, **settings)
    except _REFUSALS:
        raise PermissionDenied(
            f"{address}: the settings or credentials of the store can't be used",
            hint="check the environment variables (AWS_..., GOOGLE_..., AZURE_...) or the Secret",
        ) from None
