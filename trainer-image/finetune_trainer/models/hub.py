"""Downloads of models from the Hugging Face hub: the only module that contacts it for models."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

from finetune_api.failures import JobFailure, ModelNotFound, PermissionDenied, StorageUnavailable

_CREDENTIALS_HINT = "check the name; for a gated or private model set HF_TOKEN (or model.secretRef in a cluster)"
_OFFLINE_HINT = "check the network and HF_ENDPOINT, or give the model as file:// or s3://"
_URI, _REVISION = "spec.model.uri", "spec.model.revision"
# Names of exceptions, of all their bases and causes: the first that fits, so special ones come first. By name, since
# the HTTP library behind the hub's client changes from version to version.
_CASES: tuple[tuple[str, type[JobFailure], str, str, str], ...] = (
    ("GatedRepoError", PermissionDenied, "{name} is gated and this token has no access", _URI, _CREDENTIALS_HINT),
    ("RevisionNotFoundError", ModelNotFound, "{name} has no revision {revision}", _REVISION, "name a commit or branch"),
    ("RepositoryNotFoundError", ModelNotFound, "there is no {name}, or it is private", _URI, _CREDENTIALS_HINT),
    ("HFValidationError", ModelNotFound, "{name} is not a repository name", _URI, "write hf://owner/name"),
    ("Status401", PermissionDenied, "the hub refused access to {name}", _URI, _CREDENTIALS_HINT),
    ("Status403", PermissionDenied, "the hub refused access to {name}", _URI, _CREDENTIALS_HINT),
    ("OSError", StorageUnavailable, "the hub can't be reached and {name} is not in the cache", _URI, _OFFLINE_HINT),
    ("TransportError", StorageUnavailable, "the hub can't be reached for {name}", _URI, _OFFLINE_HINT),
)


def snapshot(
    repository: str, revision: str | None, patterns: Sequence[str], token: str | None = None
) -> tuple[Path, str]:
    """Download the files of `owner/name` that match `patterns`; return their folder and the commit.

    Files that are in the hub's cache already are not fetched again, and without a network the cache must do.

    Raises:
        ModelNotFound: no such repository or revision.
        PermissionDenied: gated or private, and no token that opens it.
        StorageUnavailable: the hub can't be reached and the cache has no copy.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns), token=token))
    except Exception as error:
        raise _translated(error, repository, revision) from error
    return folder, folder.name


def list_files(repository: str, revision: str | None, token: str | None = None) -> list[str]:
    """Names of all files of `owner/name` on the hub. Raises as `snapshot` does."""
    from huggingface_hub import HfApi

    try:
        return list(HfApi(token=token).list_repo_files(repository, revision=revision))
    except Exception as error:
        raise _translated(error, repository, revision) from error


def _translated(error: Exception, repository: str, revision: str | None) -> Exception:
    names = set(_names(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error  # the disk of the cache is full, which is nothing of the hub's
    for name, failure, message, where, hint in _CASES:
        if name in names:
            return failure(message.format(name=f"hf://{repository}", revision=revision), where=where, hint=hint)
    return error


def _names(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (kind.__name__ for kind in type(error).__mro__)
        yield f"Status{getattr(getattr(error, 'response', None), 'status_code', '')}"
        error = error.__cause__
