"""Start-up check of compute profiles: a dry-run Job for each.

A profile that is refused is told at once, in the log and by a metric, and not only when the first job names it.
"""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.run_file import JobIdentity, Mode
from finetune_api.spec import Spec
from finetune_operator.cluster import Cluster, ClusterError, RefusedError
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.job_inputs import JobInputs
from finetune_operator.manifests.profile_fields import profile_hint
from finetune_operator.metrics import Metrics
from finetune_operator.plan import Refusal
from finetune_operator.records import Json
from finetune_operator.settings import Settings

log = logging.getLogger(__name__)

_NOBODY = "00000000-0000-0000-0000-000000000000"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SPEC = {
    "task": "SequenceClassification",
    "model": {"uri": "s3://bucket/model"},
    "data": {"train": [{"uri": "s3://bucket/rows.csv"}]},
    "output": {"uri": "s3://bucket/models"},
}


async def check_profiles(cluster: Cluster, settings: Settings, served: list[str], metrics: Metrics) -> None:
    """Dry-run a Job for each profile, and report refused ones. Raises nothing: a failed check says nothing."""
    namespace = served[0] if served else _own_namespace()
    jobs = dict(_jobs(settings, namespace))
    answers = await asyncio.gather(*(_refusal(cluster, namespace, manifest) for manifest in jobs.values()))
    for name, refused in zip(jobs, answers, strict=True):
        metrics.profile_refused.labels(name).set(1 if refused else 0)
        if refused:
            hint = profile_hint(refused, name)
            log.error("the API server refuses Jobs of %s: %s%s", name, refused, f"; {hint}" if hint else "")


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


async def _refusal(cluster: Cluster, namespace: str, manifest: Json) -> str:
    """The API server's refusal of the Job; empty where it accepts, or can't tell."""
    try:
        await cluster.create_job(namespace, manifest, dry_run=True)
    except RefusedError as error:
        shortage = Refusal(error.code, error.message, datetime.now(UTC)).is_shortage
        return "" if shortage else error.message
    except ClusterError as error:
        log.info("profiles are not tried: %s", error)
    return ""


def _own_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text("utf-8").strip() or "default"
    except OSError:
        return "default"
