"""Start-up check of compute profiles: a dry-run Job for each, in each namespace of the settings.

What the API server refuses or warns about is logged, counted and told by an event, before the first job names the
profile. An invalid Job is the profile's fault. One that is denied is a matter of the policies in that namespace.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.run_file import JobIdentity, Mode
from finetune_api.spec import Spec
from finetune_operator.cluster import Cluster, ClusterError, RefusedError
from finetune_operator.events import event_about
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.job_inputs import JobInputs
from finetune_operator.manifests.profile_fields import profile_hint
from finetune_operator.metrics import Metrics
from finetune_operator.plan import Event, EventType, Refusal
from finetune_operator.records import Json
from finetune_operator.settings import Settings

log = logging.getLogger(__name__)

_NOBODY = "00000000-0000-0000-0000-000000000000"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_AT_ONCE = 4
_SPEC = {
    "task": "SequenceClassification",
    "model": {"uri": "s3://bucket/model"},
    "data": {"train": [{"uri": "s3://bucket/rows.csv"}]},
    "output": {"uri": "s3://bucket/models"},
}


@dataclass(frozen=True)
class Answer:
    """Answer of the API server to a Job of one profile in one namespace."""

    profile: str
    """Its name in the settings file."""
    namespace: str
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_invalid(self) -> bool:
        """Whether the profile makes a Job that is invalid everywhere."""
        return self.refusal is not None and self.refusal.is_final

    @property
    def is_denied(self) -> bool:
        """Whether admission denies it, there and perhaps elsewhere. A quota that is used up denies nothing for good."""
        return self.refusal is not None and not self.refusal.is_final and not self.refusal.is_shortage

    def message(self) -> str:
        """What is wrong, and whose it is; empty where nothing is."""
        if self.is_invalid and self.refusal is not None:
            hint = profile_hint(self.refusal.message, self.profile)
            return f"the API server refuses Jobs of {self.profile}: {self.refusal.message}{hint and f'; {hint}'}"
        where = f"of {self.profile} in namespace {self.namespace}"
        if self.is_denied and self.refusal is not None:
            whose = "that is a policy of the cluster or of that namespace, and other namespaces may allow them"
            return f"admission denies Jobs {where}: {self.refusal.message}; {whose}"
        return f"the API server warns about Jobs {where}: {'; '.join(self.warnings)}" if self.warnings else ""


async def check_profiles(cluster: Cluster, settings: Settings, served: list[str], metrics: Metrics) -> None:
    """Dry-run a Job for each profile, and report what is not accepted. Raises nothing: a failed check says nothing."""
    own, turns = _own_namespace(), asyncio.Semaphore(_AT_ONCE)
    jobs = [job for namespace in served or [own] for job in _jobs(settings, namespace)]

    async def answered(name: str, manifest: Json) -> Answer:
        async with turns:
            return await _try(cluster, name, manifest)

    answers = await asyncio.gather(*(answered(*job) for job in jobs))
    invalid = {answer.profile for answer in answers if answer.is_invalid}
    for answer in answers:
        metrics.profile_refused.labels(answer.profile).set(answer.profile in invalid)
        metrics.profile_denied.labels(answer.profile, answer.namespace).set(answer.is_denied)
    told = {answer.message(): answer for answer in answers if answer.message()}
    for message, answer in told.items():
        log.log(logging.ERROR if answer.refusal else logging.WARNING, "%s", message)
        await _tell(cluster, own, answer)


def _jobs(settings: Settings, namespace: str) -> Iterator[tuple[str, Json]]:
    """A Job for each profile, by its name in the settings file."""
    spec = Spec.model_validate(_SPEC)
    profiles = {f"profiles.{name}": profile for name, profile in settings.profiles.items()}
    for name, profile in {**profiles, "checkProfile": settings.check_profile}.items():
        mode = Mode.TRAIN if name in profiles else Mode.VALIDATE
        gpus = min(1, profile.max_gpus_per_node) if mode is Mode.TRAIN else 0
        compute = spec.compute.model_copy(update={"gpus_per_node": gpus})
        job = JobIdentity(name="profile-check", namespace=namespace, uid=_NOBODY)
        manifest = child_job(JobInputs(spec.model_copy(update={"compute": compute}), job, mode, profile, settings))
        del manifest["metadata"]["ownerReferences"]  # there is no such owner
        yield name, manifest


async def _try(cluster: Cluster, profile: str, manifest: Json) -> Answer:
    """The API server's answer to the Job; without a refusal where it can't tell."""
    namespace = manifest["metadata"]["namespace"]
    try:
        return Answer(profile, namespace, warnings=await cluster.try_job(namespace, manifest))
    except RefusedError as error:
        return Answer(profile, namespace, Refusal(error.code, error.message, datetime.now(UTC)))
    except ClusterError as error:
        log.info("%s is not tried in namespace %s: %s", profile, namespace, error)
        return Answer(profile, namespace)


async def _tell(cluster: Cluster, own: str, answer: Answer) -> None:
    """Create an event: about the operator's pod, or about the namespace where admission denies or warns."""
    pod = {"name": os.environ.get("HOSTNAME") or socket.gethostname(), "uid": os.environ.get("POD_UID", "")}
    place = {"name": answer.namespace}
    kind, of, namespace = ("Pod", pod, own) if answer.is_invalid else ("Namespace", place, answer.namespace)
    event = Event(EventType.WARNING, "ProfileRefused" if answer.refusal else "ProfileWarning", answer.message())
    about = {"apiVersion": "v1", "kind": kind, "namespace": namespace, **of}
    try:
        await cluster.create_event(namespace, event_about(about, event, datetime.now(UTC)))
    except ClusterError as error:
        log.info("no event about %s in namespace %s: %s", answer.profile, namespace, error)


def _own_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text("utf-8").strip() or "default"
    except OSError:
        return "default"
