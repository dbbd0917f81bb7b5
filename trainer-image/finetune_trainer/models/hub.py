"""The only module that talks to the Hugging Face hub about models."""

from collections.abc import Sequence
from pathlib import Path

from finetune_api.failures import JobFailure, ModelNotFound, PermissionDenied, StorageUnavailable


def snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str]:
    """Download the files of `owner/name` that match `patterns`; return their folder and the commit.

    Files that are in the hub's cache already are not fetched again, and without a network the cache must do.

    Raises:
        ModelNotFound: no such repository or revision.
        PermissionDenied: gated or private, and no token that opens it.
        StorageUnavailable: the hub can't be reached and the cache has no copy.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:
        raise _translated(error, repository, revision) from error
    return folder, folder.name


def _translated(error: Exception, repository: str, revision: str | None) -> Exception:
    from huggingface_hub import errors

    name = f"hf://{repository}"
    cases: list[tuple[type[Exception] | tuple[type[Exception], ...], type[JobFailure], str, str]] = [
        (errors.GatedRepoError, PermissionDenied, f"{name} is gated and this token has no access", _CREDENTIALS_HINT),
        (
            errors.RevisionNotFoundError,
            ModelNotFound,
            f"{name} has no revision {revision}",
            "check spec.model.revision",
        ),
        (errors.RepositoryNotFoundError, ModelNotFound, f"there is no {name}, or it is private", _CREDENTIALS_HINT),
        (errors.HFValidationError, ModelNotFound, f"{name} is not a repository name", "write hf://owner/name"),
        (
            (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError),
            StorageUnavailable,
            f"the hub can't be reached and {name} is not in the cache",
            _OFFLINE_HINT,
        ),
    ]
    for kind, failure, message, hint in cases:
        if isinstance(error, kind):
            return failure(message, hint=hint, where="spec.model.uri")
    return error


_CREDENTIALS_HINT = "check the name; for a gated or private model set HF_TOKEN (or model.secretRef in a cluster)"
_OFFLINE_HINT = "check the network and HF_ENDPOINT, or give the model as file:// or s3://"
