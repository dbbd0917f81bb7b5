"""The check at the start: without its rights and its CRD the operator says so and stops, instead of half working."""

import asyncio
import logging

from finetune_api import GROUP
from finetune_operator.cluster import Cluster, GoneError, RefusedError, UnavailableError
from finetune_operator.records import Json
from finetune_operator.store import Kind

log = logging.getLogger(__name__)

NEEDED = (
    (GROUP, "finetunejobs", ("list", "watch", "delete")),
    (GROUP, "finetunejobs/status", ("update",)),
    ("batch", "jobs", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "pods", ("list", "watch", "patch", "delete")),
    ("", "pods/status", ("patch",)),
    ("", "events", ("create",)),
)
"""API group, resource and verbs: all that the operator ever does."""
_RETRY_SECONDS = 2.0


async def check_permissions(cluster: Cluster, namespaces: list[str]) -> None:
    """Wait for the API server, and make sure that the CRD is there and every right is granted.

    Raises `SystemExit` that names each missing right.
    """
    while True:
        try:
            await _check(cluster, namespaces)
        except UnavailableError as error:
            log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _check(cluster: Cluster, namespaces: list[str]) -> None:
    missing = []
    for namespace in namespaces or [""]:
        attributes = [
            _attributes(group, resource, verb, namespace) for group, resource, verbs in NEEDED for verb in verbs
        ]
        answers = await asyncio.gather(*(cluster.allowed(wanted) for wanted in attributes))
        missing += [wanted for wanted, allowed in zip(attributes, answers, strict=True) if not allowed]
    if missing:
        lines = [_told(wanted) for wanted in missing]
        raise SystemExit("\n".join(["missing rights; install the chart's Role or ClusterRole:", *lines]))
    try:
        async for _page in cluster.pages(Kind.TUNE, namespaces[0] if namespaces else None, limit=1):
            break
    except GoneError as error:
        raise SystemExit(f"no FineTuneJob in this cluster: install the chart's CRD ({error})") from error
    except RefusedError as error:
        raise SystemExit(f"FineTuneJobs can't be listed: {error}") from error


def _attributes(group: str, resource: str, verb: str, namespace: str) -> Json:
    name, _, subresource = resource.partition("/")
    return {"group": group, "resource": name, "subresource": subresource, "verb": verb, "namespace": namespace}


def _told(wanted: Json) -> str:
    resource = "/".join(filter(None, (wanted["resource"], wanted["subresource"])))
    group = f" in API group {wanted['group']}" if wanted["group"] else ""
    return f"  {wanted['verb']} {resource}{group}, in {wanted['namespace'] or 'all namespaces'}"
