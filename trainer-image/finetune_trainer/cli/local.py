"""Notes on settings that only take effect in a cluster, for local runs. Pure."""

from collections.abc import Iterator

from finetune_api.addresses import addresses
from finetune_api.job import FineTuneJob
from finetune_api.output import Compute, RunPolicy


def local_run_notes(job: FineTuneJob) -> list[str]:
    """Notes on settings that a local run ignores; empty for a job from a cluster (it has a uid)."""
    if job.metadata.uid is not None:
        return []
    notes = []
    settings = [
        *_changed("compute", job.spec.compute, Compute()),
        *_changed("runPolicy", job.spec.run_policy, RunPolicy()),
    ]
    if settings:
        notes.append(f"Only a cluster looks at {_listed(settings)}; this run uses the machine it is on.")
    secrets = [f"{it.block.removeprefix('spec.')}.secretRef" for it in addresses(job.spec) if it.secret_ref is not None]
    if secrets:
        notes.append(f"Only a cluster looks at {_listed(secrets)}; credentials are taken from the environment here.")
    return notes


def _changed(block: str, given: Compute | RunPolicy, default: Compute | RunPolicy) -> Iterator[str]:
    for attribute, field in type(given).model_fields.items():
        if getattr(given, attribute) != getattr(default, attribute):
            yield f"{block}.{field.alias}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
