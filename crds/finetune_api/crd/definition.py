"""CustomResourceDefinition around the schema: names, scope, printer columns and subresources."""

from typing import Any

from finetune_api import GROUP, KIND, VERSION
from finetune_api.crd.dialect import KubernetesSchema
from finetune_api.crd.structural import Schema, owned_whole, structural, without_defaults
from finetune_api.job import FineTuneJob
from finetune_api.spec import MUTABLE

SINGULAR, PLURAL = "finetunejob", "finetunejobs"
_WIDE = 1
"""Priority of columns that only `kubectl get -o wide` shows."""


def custom_resource_definition() -> dict[str, Any]:
    """The manifest of the CustomResourceDefinition, as plain data."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": ["ftj"],
                "categories": ["all"],  # a workload, like the Job that it becomes
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(),
        "schema": {"openAPIV3Schema": job_schema()},
    }


def job_schema() -> Schema:
    """The structural schema of a whole `FineTuneJob`.

    Fields of its status have no defaults: only the operator writes there, and what it left out is unknown. Blocks of
    the spec that can't be changed have one owner, whoever created the job; those of the status belong to the operator.
    """
    schema = structural(FineTuneJob.model_json_schema(schema_generator=KubernetesSchema))
    properties = schema["properties"]
    name = properties["metadata"]["properties"]["name"]
    return schema | {
        "required": ["spec"],
        "properties": {
            **{
                top: {"description": properties[top]["description"], "type": "string"} for top in ("apiVersion", "kind")
            },
            # Of the metadata, a schema may say nothing but what a name looks like.
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": owned_whole(properties["spec"], apart=MUTABLE),
            "status": owned_whole(without_defaults(properties["status"])),
        },
    }


def _columns() -> list[dict[str, Any]]:
    return [
        _column("Phase", ".status.phase", "Where the job is in its life"),
        _column("Progress", ".status.summary.progress", "Share of the steps done"),
        _column("Loss", ".status.summary.loss", "Mean training loss since the last report"),
        _column("Metric", ".status.summary.metric", "The metric that counts, and its newest value"),
        _column("ETA", ".status.summary.eta", "Time left at the present rate"),
        _column("Attempts", ".status.attempts[-1:].number", "Number of the newest attempt", type="integer", wide=True),
        _column("Profile", ".spec.compute.profile", "Compute profile", wide=True),
        _column("Queue", ".spec.compute.queue", "Kueue LocalQueue", wide=True),
        _column("Age", ".metadata.creationTimestamp", "Time since the job was created", type="date"),
    ]


def _column(name: str, path: str, description: str, *, type: str = "string", wide: bool = False) -> dict[str, Any]:  # noqa: A002 -- the field's own name
    column: dict[str, Any] = {"name": name, "type": type, "jsonPath": path, "description": description}
    return column | ({"priority": _WIDE} if wide else {})
