"""A job as YAML, to be read by people and applied again."""

from typing import Any

import yaml

from finetune_api import API_VERSION, KIND
from finetune_api.job import FineTuneJob
from finetune_trainer.manifest.scalars import KubernetesDumper

_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")


def dump_job(job: FineTuneJob) -> str:
    """Return `job` as YAML: wire names, what differs from defaults, no status. `load_job` reads it back as it was."""
    given: dict[str, Any] = job.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    metadata = {name: value for name, value in given["metadata"].items() if name not in _SERVER_FIELDS}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": given["spec"]}
    return yaml.dump(manifest, Dumper=KubernetesDumper, sort_keys=False, allow_unicode=True, width=120)
