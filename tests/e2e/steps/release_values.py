"""Values of the chart for a test bed: `tests/e2e/values.yaml`, and what depends on the machine."""

from pathlib import Path
from typing import Any

import yaml
from state import Bed

VALUES = Path(__file__).parents[1] / "values.yaml"


def write_values(bed: Bed, path: Path) -> Path:
    """Write the values for `bed` to `path`; return it."""
    values = yaml.safe_load(VALUES.read_text())
    registry, repository, tag = _parts(bed.operator_image)
    trainer = _parts(bed.trainer_image)
    values["registry"] = registry
    values["image"] = {"repository": repository, **tag}
    values["trainer"] = {"image": {"repository": _below(registry, *trainer[:2]), **trainer[2]}}
    values["profiles"]["crashing"] = {
        "description": "an image that can't run a trainer",
        "image": bed.operator_image,
        "requests": {"cpu": "50m", "memory": "64Mi"},
    }
    values["stores"]["settings"] = {"AWS_ENDPOINT_URL": bed.s3_endpoint, "AWS_REGION": "us-east-1"}
    path.write_text(yaml.safe_dump(values))
    return path


def _parts(image: str) -> tuple[str, str, dict[str, Any]]:
    """Registry, repository below it, and the tag or digest as values."""
    name, at, digest = image.partition("@")
    if at:
        version = {"digest": digest}
    else:
        name, _, tag = name.rpartition(":")
        version = {"tag": tag}
    registry, _, repository = name.rpartition("/")
    return registry, repository, version


def _below(registry: str, other: str, repository: str) -> str:
    assert registry == other, f"the chart takes both images from one registry, not from {registry} and {other}"
    return repository
