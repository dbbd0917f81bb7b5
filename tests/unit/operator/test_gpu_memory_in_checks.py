"""The memory of a profile's GPU reaches the check that runs before a job gets one, and no other pod."""

import json

import pytest
from snapshots import SETTINGS, finetune_job, snapshot, spec

from finetune_api import pod
from finetune_operator.plan import CreateJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import Profile


def run_file(gpus: int, memory: str | None) -> dict[str, object]:
    profile = Profile.model_validate({"maxGpusPerNode": 1, "gpuMemory": memory})
    settings = SETTINGS.model_copy(update={"profiles": {"default": profile}})
    some = snapshot(of=finetune_job(spec(compute={"gpusPerNode": gpus})))
    given = Snapshot(**{**{f: getattr(some, f) for f in some.__dataclass_fields__}, "settings": settings})
    created = next(write for write in reconcile(given).writes if isinstance(write, CreateJob))
    annotations = created.manifest["spec"]["template"]["metadata"]["annotations"]
    return dict(json.loads(annotations[pod.RUN_ANNOTATION]))


@pytest.mark.parametrize(("memory", "size"), [("80Gi", 80 << 30), ("24G", 24 * 10**9), (None, None)])
def test_a_check_is_told_how_much_memory_the_gpu_has(memory: str | None, size: int | None) -> None:
    found = run_file(1, memory)
    assert found["mode"] == "Validate"
    assert found.get("gpuMemory") == size


def test_a_job_without_a_gpu_is_not_checked_for_one() -> None:
    assert "gpuMemory" not in run_file(0, "80Gi")
