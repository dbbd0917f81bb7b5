"""What refuses requests on a real API server, in one namespace and for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from tuning import Json, Namespace

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@contextmanager
def admission(namespace: Namespace, kind: str, *bodies: Json) -> Iterator[None]:
    """Objects of admission that are called like the namespace; the first is of that kind, a second one binds it."""
    cluster, name, kinds = namespace.cluster, namespace.name, [kind, f"{kind.removesuffix('ies')}ybindings"]
    try:
        for each, body in zip(kinds, bodies, strict=False):
            code, answer = cluster.request("POST", f"{_ADMISSION}/{each}", {"metadata": {"name": name}, **body})
            assert code == 201, answer
        yield
    finally:
        for each, _ in zip(kinds, bodies, strict=False):
            cluster.request("DELETE", f"{_ADMISSION}/{each}/{name}")


def policy(
    namespace: Namespace, operations: list[str], message: str, group: str, resource: str, unless: str = "false"
) -> tuple[Json, Json]:
    """A ValidatingAdmissionPolicy that denies something in that namespace, and its binding."""
    rules = [{"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [resource]}]
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": unless, "message": message}],
    }
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}
    binding = {"policyName": namespace.name, "validationActions": ["Deny"], "matchResources": where}
    return {"spec": spec}, {"spec": binding}
