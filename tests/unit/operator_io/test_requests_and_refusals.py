"""What a request is about, and what an answer with an error code means."""

import json

import pytest
from yarl import URL

from finetune_operator.api_trace import read_request
from finetune_operator.cluster import (
    ClusterError,
    ConflictError,
    ExpiredError,
    GoneError,
    RefusedError,
    TakenError,
    UnavailableError,
    collection,
    error_from_response,
    warnings_of,
)
from finetune_operator.store import Kind

TUNES = "/apis/finetune.dev/v1alpha1"


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource", "namespace"),
    [
        ("GET", f"{TUNES}/finetunejobs?limit=200", "list", "finetunejobs", None),
        ("GET", f"{TUNES}/namespaces/a/finetunejobs?watch=true", "watch", "finetunejobs", "a"),
        ("PATCH", f"{TUNES}/namespaces/a/finetunejobs/x/status", "patch", "finetunejobs/status", "a"),
        ("POST", "/apis/batch/v1/namespaces/a/jobs", "create", "jobs", "a"),
        ("DELETE", "/apis/batch/v1/namespaces/a/jobs/x", "delete", "jobs", "a"),
        ("GET", "/apis/batch/v1/namespaces/a/jobs/x", "get", "jobs", "a"),
        ("GET", "/api/v1/pods?labelSelector=a%3Db", "list", "pods", None),
        ("GET", "/api/v1/namespaces", "list", "namespaces", None),
        ("GET", "/api/v1/namespaces/a", "get", "namespaces", None),
        ("GET", "/apis/batch/v1", "get", "", None),
        ("GET", "/api", "get", "", None),
    ],
)
def test_a_request_is_told_as_audit_logs_do(
    method: str, path: str, verb: str, resource: str, namespace: str | None
) -> None:
    request = read_request(method, URL(f"https://10.96.0.1:443{path}", encoded=True))
    assert (request.verb, request.resource, request.namespace) == (verb, resource, namespace)


@pytest.mark.parametrize(
    ("code", "body", "meaning"),
    [
        (409, {"reason": "AlreadyExists"}, TakenError),
        (409, {"reason": "Conflict"}, ConflictError),
        (404, {"reason": "NotFound"}, GoneError),
        (403, {"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}, GoneError),
        (403, {"reason": "Forbidden", "message": "exceeded quota: team"}, RefusedError),
        (422, {"reason": "Invalid"}, RefusedError),
        (410, {"reason": "Expired"}, ExpiredError),
        (401, {"reason": "Unauthorized"}, UnavailableError),
        (429, {}, UnavailableError),
        (500, {}, UnavailableError),
        (503, "<html>no backend</html>", UnavailableError),
    ],
)
def test_an_error_code_is_read_by_its_meaning(code: int, body: object, meaning: type[ClusterError]) -> None:
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert type(error_from_response(code, text, None)) is meaning


def test_a_refusal_keeps_what_the_server_says() -> None:
    error = error_from_response(403, json.dumps({"message": "exceeded quota: team"}).encode(), None)
    assert isinstance(error, RefusedError)
    assert (error.code, error.message) == (403, "exceeded quota: team")


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)])
def test_the_server_may_say_when_to_come_again(header: str | None, seconds: float) -> None:
    error = error_from_response(429, b"{}", header)
    assert isinstance(error, UnavailableError)
    assert error.retry_after == seconds


def test_collections() -> None:
    assert collection(Kind.POD, None) == "/api/v1/pods"
    assert collection(Kind.JOB, "a") == "/apis/batch/v1/namespaces/a/jobs"


def test_warnings_are_read_from_their_headers() -> None:
    one = '299 - "unknown field \\"spec.x\\""'
    assert warnings_of([one]) == ('unknown field "spec.x"',)
    assert warnings_of([f'{one}, 299 kube "second, with a comma"', '299 - "third"']) == (
        'unknown field "spec.x"', "second, with a comma", "third",
    )  # fmt: skip
    assert warnings_of([]) == warnings_of(["nonsense"]) == ()
