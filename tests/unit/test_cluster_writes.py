"""Which requests to the API server count as writes."""

import pytest
from writes import is_write

JOBS = "/apis/batch/v1/namespaces/team/jobs"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete", "deletecollection", "POST", "PUT", "PATCH"])
def test_what_is_stored_is_a_write_but_for_dry_runs(verb: str) -> None:
    assert is_write(verb, JOBS)
    assert is_write(verb, f"{JOBS}/dryrun?fieldManager=kubectl")
    assert not is_write(verb, f"{JOBS}?fieldManager=kubectl&dryRun=All")


@pytest.mark.parametrize(("verb", "uri"), [("watch", JOBS), ("GET", JOBS), ("create", REVIEWS), ("POST", REVIEWS)])
def test_questions_are_none(verb: str, uri: str) -> None:
    assert not is_write(verb, uri)
