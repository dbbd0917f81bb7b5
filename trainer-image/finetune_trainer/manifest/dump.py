"""Serialisation of a job as YAML that can be applied again."""

from typing import Any

import yaml

from finetune_api import API_VERSION, KIND
from finetune_api.job import FineTuneJob
from finetune_trainer.manifest.scalars import KubernetesDumper

_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")


def dump_job(job: FineTuneJob) -> str:
    """`job` as YAML: wire names, without defaults and status. The inverse of `load_job`."""
    given: dict[str, Any] = job.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    metadata = {name: value for name, value in given["metadata"].items() if name not in _SERVER_FIELDS}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": given["spec"]}
    return yaml.dump(manifest, Dumper=KubernetesDumper, sort_keys=False, allow_unicode=True, width=120)
