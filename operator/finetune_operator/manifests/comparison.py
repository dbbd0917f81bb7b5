"""Comparison of an existing Job with the wanted manifest, ignoring defaults of the API server."""

from typing import Any

from finetune_operator.records import Json

_ADDED = frozenset(
    {"apiVersion", "creationTimestamp", "defaultMode", "divisor", "dnsPolicy", "failureThreshold",
     "initialDelaySeconds", "periodSeconds", "restartPolicy", "schedulerName", "scheme", "serviceAccount",
     "successThreshold", "terminationMessagePolicy", "timeoutSeconds", "controller-uid", "job-name",
     "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
)  # fmt: skip
"""Fields and labels that the API server and the Job controller write where we leave them out."""
_QUANTITIES = frozenset({"resources", "sizeLimit"})
"""Fields with quantities, which have many spellings; they decide nothing about what runs."""


def difference(wanted: Json, found: Json) -> str:
    """First differing field of the pod template, or label of the Job; empty for none."""
    for label, value in wanted["metadata"]["labels"].items():
        if (found["metadata"].get("labels") or {}).get(label) != value:
            return f"metadata.labels[{label}]"
    return _difference(wanted["spec"]["template"], found["spec"]["template"], "spec.template")


def _difference(wanted: Any, found: Any, path: str) -> str:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            if key in _QUANTITIES or (key in _ADDED and key not in wanted):
                continue
            if wrong := _difference(wanted.get(key), found.get(key), f"{path}.{key}"):
                return wrong
        return ""
    if isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            return path
        pairs = enumerate(zip(wanted, found, strict=True))
        return next((bad for n, (a, b) in pairs if (bad := _difference(a, b, f"{path}[{n}]"))), "")
    return "" if wanted == found or not (wanted or found) else path
