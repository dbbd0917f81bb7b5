"""Start-up check of RBAC and CRD: without them the operator ends with a message."""

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
    ("", "events", ("create", "list")),
    ("kueue.x-k8s.io", "localqueues", ("get",)),
)
"""API group, resource and verbs: all that the operator ever does."""
_TELLS = frozenset({("", "events", "list"), ("kueue.x-k8s.io", "localqueues", "get")})
"""Without these it works, and statuses say less: the Role may be that of the chart before."""
_RETRY_SECONDS = 2.0


async def check_permissions(cluster: Cluster, namespaces: list[str]) -> list[str]:
    """Wait for the API server, then require the CRD and all rights.

    Returns the namespaces to serve: those in which nothing at all is granted are said once and left out, for they are
    gone, or their Role is. Raises `SystemExit` that names each right that is missing elsewhere.
    """
    while True:
        try:
            return await _check(cluster, namespaces)
        except UnavailableError as error:
            log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)


async def _check(cluster: Cluster, namespaces: list[str]) -> list[str]:
    missing = {namespace: await _missing(cluster, namespace) for namespace in namespaces or [""]}
    closed = [namespace for namespace, rights in missing.items() if len(rights) == _ALL] if len(missing) > 1 else []
    if len(closed) == len(missing):
        closed = []
    lacking = [wanted for namespace, rights in missing.items() if namespace not in closed for wanted in rights]
    vital = [wanted for wanted in lacking if _right(wanted) not in _TELLS]
    if vital:
        lines = [_told(wanted) for wanted in vital]
        raise SystemExit("\n".join(["missing rights; install the chart's Role or ClusterRole:", *lines]))
    for wanted in lacking:
        log.warning("not granted, so statuses say less:%s; upgrade the chart", _told(wanted))
    for namespace in closed:
        log.error("namespace %s does not exist, or has no Role of the chart: it is left out", namespace)
    served = [namespace for namespace in namespaces if namespace not in closed]
    await _look_for_crd(cluster, served[0] if served else None)
    return served


async def _missing(cluster: Cluster, namespace: str) -> list[Json]:
    wanted = [_attributes(group, resource, verb, namespace) for group, resource, verbs in NEEDED for verb in verbs]
    answers = await asyncio.gather(*map(cluster.allowed, wanted))
    return [attributes for attributes, allowed in zip(wanted, answers, strict=True) if not allowed]


async def _look_for_crd(cluster: Cluster, namespace: str | None) -> None:
    try:
        async for _page in cluster.pages(Kind.FINETUNE_JOB, namespace, limit=1):
            break
    except GoneError as error:
        raise SystemExit(f"no FineTuneJob in this cluster: install the chart's CRD ({error})") from error
    except RefusedError as error:
        raise SystemExit(f"FineTuneJobs can't be listed: {error}") from error


async def may_watch(cluster: Cluster, namespace: str) -> bool:
    """Whether RBAC allows to watch FineTuneJobs in a namespace, or in all where it is empty."""
    return await cluster.allowed(_attributes(GROUP, "finetunejobs", "watch", namespace))


_ALL = sum(len(verbs) for _, _, verbs in NEEDED)


def _right(wanted: Json) -> tuple[str, str, str]:
    return wanted["group"], wanted["resource"], wanted["verb"]


def _attributes(group: str, resource: str, verb: str, namespace: str) -> Json:
    name, _, subresource = resource.partition("/")
    return {"group": group, "resource": name, "subresource": subresource, "verb": verb, "namespace": namespace}


def _told(wanted: Json) -> str:
    resource = "/".join(filter(None, (wanted["resource"], wanted["subresource"])))
    group = f" in API group {wanted['group']}" if wanted["group"] else ""
    return f"  {wanted['verb']} {resource}{group}, in {wanted['namespace'] or 'all namespaces'}"
