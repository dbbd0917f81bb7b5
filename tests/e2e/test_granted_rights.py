"""The chart grants what the operator uses, and nothing else: all that the tests before this one did is the proof.

Reads the API server's audit log, so it comes last and only says something after the whole suite.
"""

from pathlib import Path

import pytest
from audit_log import Request, counted, granted, requests
from helm_release import Release
from kubectl_commands import Kubectl

REVIEW = "selfsubjectaccessreviews"
"""Everyone may ask for their own rights: Kubernetes' own roles grant it."""


@pytest.fixture(scope="module")
def asked(release: Release, kubectl: Kubectl, audit_log: Path) -> list[Request]:
    """All that the operator asked for in this session. Watches are logged when they end, so it is stopped first."""
    kubectl("scale", "deployment", release.deployment, "-n", release.namespace, "--replicas=0")
    kubectl("wait", "--for=delete", "pod", "-n", release.namespace, "-l", "app.kubernetes.io/name=finetune-operator")
    return [request for request in requests(audit_log, release.user, release.begun) if request.right.resource != REVIEW]


def test_nothing_was_forbidden(asked: list[Request]) -> None:
    assert [request for request in asked if request.forbidden] == []


def test_every_right_was_used_and_no_other(asked: list[Request], release: Release) -> None:
    rights = granted(release.objects(), release.deployment)
    assert len(rights) > 10
    used = set(counted(asked))
    assert used - rights == set()
    assert rights - used == set()
