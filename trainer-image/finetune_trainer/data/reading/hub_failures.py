"""Exceptions of the hub's libraries as failures: not found, not permitted, unavailable, unreadable.

They are told by name, all bases and causes included, since the HTTP library behind the hub's client changes its name
from version to version. Pure: no library of the hub is imported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from finetune_api.failures import DataNotFound, DataUnreadable, JobFailure, PermissionDenied, StorageUnavailable

_ACCESS_HINT = "accept its terms on the hub, and set HF_TOKEN to a token that may read it"
_CHECK_HINT = "check owner, name and revision; a private data set needs HF_TOKEN"
_NETWORK_HINT = "check the network and HF_ENDPOINT, then run the job again"
_FILE_HINT = "name one of its files: hf://datasets/OWNER/NAME/FILE"


@dataclass(frozen=True)
class _Case:
    names: frozenset[str]
    failure: type[JobFailure]
    field: str
    message: str
    hint: str


def _case(names: str, failure: type[JobFailure], field: str, message: str, hint: str) -> _Case:
    return _Case(frozenset(names.split()), failure, field, message, hint)


_CASES = (  # the first that fits: special ones come before their bases
    _case("GatedRepoError", PermissionDenied, "uri", "{uri} is gated", _ACCESS_HINT),
    _case("RevisionNotFoundError", DataNotFound, "revision", "{uri} has no such revision", "name a commit or branch"),
    _case("RepositoryNotFoundError HFValidationError", DataNotFound, "uri", "{uri} is not on the hub", _CHECK_HINT),
    _case("RemoteEntryNotFoundError", DataNotFound, "uri", "there is no file {uri}", "check its path in the data set"),
    _case("Status401 Status403", PermissionDenied, "uri", "the hub refused access to {uri}", _ACCESS_HINT),
    _case(
        "Status429 Status5xx ConnectionError TimeoutError TransportError LocalEntryNotFoundError",
        StorageUnavailable,
        "uri",
        "the hub did not answer for {uri}",
        _NETWORK_HINT,
    ),
    _case("FileNotFoundDatasetsError", DataNotFound, "uri", "{uri} is not on the hub, or holds no rows", _CHECK_HINT),
    _case("ValueError", DataNotFound, "subset", "{uri}: {words}", "check subset and split"),
    _case("Exception", DataUnreadable, "uri", "{uri} can't be loaded: {words}", _FILE_HINT),
)


@contextmanager
def hub_failures(uri: str, field: str) -> Iterator[None]:
    """Convert exceptions of the hub's libraries inside the block into failures that point at `field`."""
    try:
        yield
    except Exception as error:
        raise _failure(error, uri, field) from error


def _failure(error: Exception, uri: str, field: str) -> JobFailure:
    chain = list(_causes(error))
    names = {name for cause in chain for name in _names(cause)}
    case = next(case for case in _CASES if case.names & names)
    words = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return case.failure(case.message.format(uri=uri, words=words), where=f"{field}.{case.field}", hint=case.hint)


def _names(cause: BaseException) -> Iterator[str]:
    yield from (kind.__name__ for kind in type(cause).__mro__)
    status = getattr(getattr(cause, "response", None), "status_code", 0)
    yield "Status5xx" if status >= 500 else f"Status{status}"
    if "is a gated dataset" in str(cause):  # `datasets` raises this anew and drops the cause
        yield "GatedRepoError"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
