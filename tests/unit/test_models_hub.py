"""The hub's own exceptions, thrown at the place where its client would; real ones need a server (integration)."""

import errno
from collections.abc import Callable

import huggingface_hub
import pytest
from huggingface_hub import errors

from finetune_api.failures import JobFailure, ModelNotFound, PermissionDenied, StorageUnavailable
from finetune_trainer.models.hub import snapshot

WANTED = ("*.json",)


def answered(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """An exception of the hub's client for an answer with this status."""
    library = __import__(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    request = library.Request("GET", "https://hub.invalid/api/models/acme/tiny")
    return kind(f"{status}", response=library.Response(status, request=request))


def not_in_cache(cause: Exception) -> Exception:
    """What the client makes of an error when it finds nothing in its cache either."""
    error = errors.LocalEntryNotFoundError("not there")
    error.__cause__ = cause
    return error


def transport_error() -> Exception:
    library = __import__(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    return library.ProxyError("no proxy")  # type: ignore[no-any-return]


CASES: dict[str, tuple[Callable[[], Exception], type[JobFailure], str]] = {
    "gated": (lambda: answered(errors.GatedRepoError, 403), PermissionDenied, "uri"),
    "unknown": (lambda: answered(errors.RepositoryNotFoundError, 404), ModelNotFound, "uri"),
    "unknown revision": (lambda: answered(errors.RevisionNotFoundError, 404), ModelNotFound, "revision"),
    "wrong token": (lambda: answered(errors.HfHubHTTPError, 401), PermissionDenied, "uri"),
    "refused": (lambda: not_in_cache(answered(errors.HfHubHTTPError, 403)), PermissionDenied, "uri"),
    "broken hub": (lambda: not_in_cache(answered(errors.HfHubHTTPError, 503)), StorageUnavailable, "uri"),
    "no network": (lambda: not_in_cache(ConnectionError("refused")), StorageUnavailable, "uri"),
    "no proxy": (transport_error, StorageUnavailable, "uri"),
}


@pytest.mark.parametrize(("error", "failure", "field"), CASES.values(), ids=CASES)
def test_errors_of_the_hub(
    error: Callable[[], Exception], failure: type[JobFailure], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throw(*_: object, **__: object) -> None:
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", throw)
    with pytest.raises(failure, match="hf://acme/tiny") as caught:
        snapshot("acme/tiny", "v2", WANTED)
    problem = caught.value.problems[0]
    assert problem.where == f"spec.model.{field}"
    assert problem.hint
    assert ("v2" in problem.message) == (field == "revision")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("a defect")])
def test_what_is_not_the_hubs_stays_what_it_is(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def throw(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", throw)
    with pytest.raises(type(error)) as caught:
        snapshot("acme/tiny", None, WANTED)
    assert caught.value is error


@pytest.mark.causes("StorageUnavailable")
def test_offline_without_a_copy() -> None:
    with pytest.raises(StorageUnavailable, match="not in the cache"):
        snapshot("acme/never-downloaded", None, WANTED)


@pytest.mark.causes("ModelNotFound")
def test_a_name_that_is_none() -> None:
    with pytest.raises(ModelNotFound, match="not a repository name"):
        snapshot("acme/tiny/model", None, WANTED)
