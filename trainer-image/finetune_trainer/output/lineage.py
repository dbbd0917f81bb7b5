"""Lineage of a result: digests, versions, hardware."""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from finetune_api.first_version import spec_json
from finetune_api.manifest import Lineage, MergedResult
from finetune_api.spec import Spec
from finetune_trainer.models.files import ModelFiles

_LIBRARIES = (
    "finetune-trainer",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "scikit-learn",
)


def spec_digest(spec: Spec) -> str:
    """SHA-256 over the spec as canonical JSON, without fields that may change during the run.

    Fields that later versions added count only where they say something: the digest outlives an upgrade.
    """
    content = {name: value for name, value in spec_json(spec).items() if name != "runPolicy"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def build_lineage(spec: Spec, files: ModelFiles, data_digest: str, merged: Sequence[MergedResult] = ()) -> Lineage:
    """The lineage of a result."""
    return Lineage(
        spec_digest=spec_digest(spec),
        data_digest=data_digest,
        model_uri=spec.model.uri,
        model_revision=files.revision,
        model_digest=files.digest(),
        parent_uid=files.parent_uid,
        merged=list(merged),
        versions=library_versions(),
    )


def describe_hardware(threads: int, precision: str) -> dict[str, str]:
    """Devices that the run computes on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "cpu": platform.processor() or platform.machine(),
        "cpus": str(os.cpu_count()),
        "threads": str(threads),
        "gpu": gpu,
        "precision": precision,
    }
