"""API server client: raw objects in and out, errors by meaning. The only module that talks to it.

It uses the official client for addresses, credentials (which are read again as they rotate) and connections, and none
of its models: those would refuse objects that a newer API server writes.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp
import kopf
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse

from finetune_api import GROUP, KIND, VERSION
from finetune_operator.labels import SELECTOR
from finetune_operator.plan import QueueState
from finetune_operator.records import Json
from finetune_operator.store import GROUP_VERSION, Kind

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PATHS = {kind: f"/apis/{group}/{version}" if group else f"/api/{version}"
         for kind, (group, version) in GROUP_VERSION.items()}  # fmt: skip
_KUEUE_VERSIONS = ("v1beta2", "v1beta1")
_WARNING = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')
PAGE = 200
"""Objects in one answer to a listing: what bounds the memory at the start."""
_REQUEST = aiohttp.ClientTimeout(total=30, sock_connect=5)


class ClusterError(Exception):
    """A request to the API server failed."""


class ConflictError(ClusterError):
    """The object has a newer resource version, or another UID."""


class TakenError(ClusterError):
    """An object with this name exists (409 AlreadyExists)."""


class GoneError(ClusterError):
    """The object or its namespace does not exist or is being deleted."""


class ExpiredError(ClusterError):
    """The continue token of a listing has expired; list again."""


class RefusedError(ClusterError):
    """The request was denied: RBAC, quota, admission, an invalid object. Repeating it does not help."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class UnavailableError(ClusterError):
    """No response, or a retryable one; `retry_after` is in seconds, `code` None without a response."""

    def __init__(self, message: str, retry_after: float = 0.0, code: int | None = None) -> None:
        super().__init__(message)
        self.retry_after, self.code = retry_after, code


class Cluster:
    """A connection to the API server; must be closed. All calls raise subclasses of `ClusterError`."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = "finetune-operator"

    @classmethod
    async def connect(cls, kubeconfig: Path | None, trace: aiohttp.TraceConfig | None = None) -> Self:
        """Connect with the credentials of that file, else of the pod, else of `$KUBECONFIG` or its default.

        Raises `SystemExit` where there are none.
        """
        configuration = Configuration()
        configuration.trace_configs = [trace] if trace else []
        configuration.client_session_kwargs = {"trust_env": False}  # would read ~/.netrc in a thread, each time
        try:
            if kubeconfig is not None:
                await kube_config.load_kube_config(str(kubeconfig), client_configuration=configuration)
            else:
                await _find_credentials(configuration)
        except (kube_config.ConfigException, OSError) as error:
            raise SystemExit(f"no credentials for a cluster: {error}. Name a file with --kubeconfig") from error
        return cls(configuration)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def session(self, trace: aiohttp.TraceConfig) -> kopf.AiohttpSession:
        """A session with the same credentials for kopf, which closes it. It is traced by `trace` too."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls())
        session = aiohttp.ClientSession(
            connector=connector,
            middlewares=(self._authorize,),
            trace_configs=[*(self._configuration.trace_configs or ()), trace],
            headers={"User-Agent": self._client.user_agent},
        )
        return kopf.AiohttpSession(server=self._configuration.host, aiohttp_session=session)

    async def pages(self, kind: Kind, namespace: str | None, limit: int = PAGE) -> AsyncIterator[list[Json]]:
        """List the objects of a kind page by page, in one consistent snapshot."""
        query = {"limit": str(limit)} | ({} if kind is Kind.FINETUNE_JOB else {"labelSelector": SELECTOR})
        more = "first"
        while more:
            answer = await self._ask("GET", collection(kind, namespace), query=query)
            yield answer["items"]
            more = query["continue"] = answer["metadata"].get("continue") or ""

    async def create_job(self, namespace: str, manifest: Json) -> Json:
        """Create a child Job."""
        return await self._ask("POST", collection(Kind.JOB, namespace), manifest)

    async def try_job(self, namespace: str, manifest: Json) -> tuple[str, ...]:
        """Try to create a Job (dry run); returns the API server's warnings, as of unknown fields and PodSecurity."""
        response = await self._send("POST", collection(Kind.JOB, namespace), manifest, {"dryRun": "All"})
        return warnings_of(response.headers.getall("Warning", []))

    async def get_job(self, namespace: str, name: str) -> Json:
        """Read a Job."""
        return await self._ask("GET", f"{collection(Kind.JOB, namespace)}/{name}")

    async def patch_job(self, namespace: str, name: str, uid: str, patch: Json) -> Json:
        """Merge a patch into the Job with that UID."""
        guarded = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        return await self._ask("PATCH", f"{collection(Kind.JOB, namespace)}/{name}", guarded)

    async def delete_job(self, namespace: str, name: str, uid: str) -> Json:
        """Delete the Job with that UID; its name stays taken until its pods are gone."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Foreground"}
        return await self._ask("DELETE", f"{collection(Kind.JOB, namespace)}/{name}", options)

    async def annotate_pod(self, namespace: str, name: str, uid: str, annotations: dict[str, str]) -> Json:
        """Set annotations of the pod with that UID."""
        patch = {"metadata": {"uid": uid, "annotations": annotations}}
        return await self._ask("PATCH", f"{collection(Kind.POD, namespace)}/{name}", patch)

    async def patch_pod_status(self, namespace: str, name: str, uid: str, status: Json) -> Json:
        """Merge a patch into the status of the pod with that UID; conditions merge by type."""
        patch = {"metadata": {"uid": uid}, "status": status}
        path = f"{collection(Kind.POD, namespace)}/{name}/status"
        return await self._ask("PATCH", path, patch, content_type=STRATEGIC_PATCH)

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> Json:
        """Delete the pod with that UID; None keeps the pod's grace period, 0 deletes it without its node."""
        grace = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        options = {"preconditions": {"uid": uid}, **grace}
        return await self._ask("DELETE", f"{collection(Kind.POD, namespace)}/{name}", options)

    async def delete_tune(self, namespace: str, name: str, uid: str) -> Json:
        """Delete the FineTuneJob with that UID; its children follow."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self._ask("DELETE", f"{collection(Kind.FINETUNE_JOB, namespace)}/{name}", options)

    async def update_status(self, namespace: str, name: str, version: int, status: Json) -> Json:
        """Replace the status of a FineTuneJob, if it is still at that resource version.

        The API server keeps all but the status as it is, so nothing else is sent. A patch would cost it a third more:
        it would have to write out the whole object, merge, and read it again.
        """
        metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version)}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status}
        return await self._ask("PUT", f"{collection(Kind.FINETUNE_JOB, namespace)}/{name}/status", body)

    async def create_event(self, namespace: str, event: Json) -> Json:
        """Create an Event."""
        return await self._ask("POST", f"/api/v1/namespaces/{namespace}/events", event)

    async def pod_refusal(self, namespace: str, job: str, uid: str) -> tuple[str, datetime | None]:
        """Why the Job controller could not create the pod of a Job, by its newest event, and the event's time."""
        path = f"/api/v1/namespaces/{namespace}/events"
        fields = f"involvedObject.kind=Job,involvedObject.name={job},reason=FailedCreate"
        answer = await self._ask("GET", path, query={"fieldSelector": fields, "limit": str(PAGE)})
        told = [
            (event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"], event)
            for event in answer["items"]
            if event["involvedObject"].get("uid") == uid
        ]
        if not told:
            return "", None
        when, newest = max(told, key=lambda pair: pair[0])
        return str(newest.get("message", "")).removeprefix("Error creating: "), datetime.fromisoformat(when)

    async def queue_state(self, namespace: str, queue: str) -> QueueState:
        """Whether a LocalQueue of that name exists, as far as RBAC allows to know."""
        for version in _KUEUE_VERSIONS:
            try:
                await self._ask("GET", f"/apis/kueue.x-k8s.io/{version}/namespaces/{namespace}/localqueues/{queue}")
            except GoneError as gone:
                if f'"{queue}"' in str(gone):  # else there is no such resource, in this version or in any
                    return QueueState.MISSING
            except RefusedError:
                return QueueState.UNKNOWN
            else:
                return QueueState.THERE
        return QueueState.NO_KUEUE

    async def allowed(self, attributes: Json) -> bool:
        """Whether RBAC allows the attributes of a SelfSubjectAccessReview."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    async def _ask(
        self, method: str, path: str, body: Json | None = None, query: Json | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Json:  # fmt: skip
        answer: Json = json.loads(await (await self._send(method, path, body, query, content_type)).read())
        return answer

    async def _send(
        self, method: str, path: str, body: Json | None = None, query: Json | None = None,
        content_type: str = MERGE_PATCH,
    ) -> RESTResponse:  # fmt: skip
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if method == "PATCH" else {})
        try:
            request = await self._client.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = await self._client.call_api(*request, _request_timeout=_REQUEST)
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError) as error:
            raise UnavailableError(f"{method} {path}: {error!r}") from error
        if response.status < HTTPStatus.BAD_REQUEST:
            return response
        raise error_from_response(response.status, text, response.getheader("Retry-After"))

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add current credentials to a request of kopf."""
        settings: dict[str, Any] = dict(await self._configuration.auth_settings())
        for setting in settings.values():
            request.headers[setting["key"]] = setting["value"]
        return await handler(request)

    def _tls(self) -> ssl.SSLContext:
        return self._client.rest_client.ssl_context


def collection(kind: Kind, namespace: str | None) -> str:
    """Path of all objects of a kind, in a namespace or in all."""
    return f"{PATHS[kind]}/namespaces/{namespace}/{kind}" if namespace else f"{PATHS[kind]}/{kind}"


def warnings_of(headers: Iterable[str]) -> tuple[str, ...]:
    """Texts of `Warning` headers, which look like `299 - "text"`; one header may hold several."""
    found = (match[1] for header in headers for match in _WARNING.finditer(header))
    return tuple(re.sub(r"\\(.)", r"\1", text) for text in found)


def error_from_response(code: int, text: bytes, retry_after: str | None) -> ClusterError:
    """The error class of an error response."""
    status = _status(text)
    message = str(status.get("message") or text[:500].decode(errors="replace") or HTTPStatus(code).phrase)
    causes = {cause.get("reason") for cause in (status.get("details") or {}).get("causes") or ()}
    if code == HTTPStatus.CONFLICT:
        return TakenError(message) if status.get("reason") == "AlreadyExists" else ConflictError(message)
    if code == HTTPStatus.NOT_FOUND or "NamespaceTerminating" in causes:
        return GoneError(message)
    if code == HTTPStatus.GONE:
        return ExpiredError(message)
    if code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS) or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        seconds = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
        return UnavailableError(f"{code}: {message}", seconds, code)
    return RefusedError(code, message)


def _status(text: bytes) -> dict[str, Any]:
    """The `Status` object of an error response; empty for responses of proxies."""
    try:
        status = json.loads(text)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


async def _find_credentials(configuration: Configuration) -> None:
    try:
        kube_config.load_incluster_config(client_configuration=configuration)
    except kube_config.ConfigException:
        await kube_config.load_kube_config(client_configuration=configuration)
