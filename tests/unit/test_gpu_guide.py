"""The YAML of `docs/how-to/fine-tune-a-chat-model-on-gpus.md` is right: jobs, parts of jobs, and compute profiles."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.job import FineTuneJob
from finetune_operator.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/fine-tune-a-chat-model-on-gpus.md").read_text("utf-8")
BLOCKS: list[dict[str, Any]] = [
    yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]
JOB = next(block for block in BLOCKS if "kind" in block)
PARTS = [block["spec"] for block in BLOCKS if set(block) == {"spec"}]
PROFILES = next(block["profiles"] for block in BLOCKS if set(block) == {"profiles"})
SIZES = (ROOT / "docs/how-to/size-a-job.md").read_text("utf-8")


def test_all_blocks_are_known() -> None:
    assert len(BLOCKS) == 2 + len(PARTS)
    assert len(PARTS) == 2


@pytest.mark.parametrize("part", [{}, *PARTS], ids=["the job", "for Llama", "merged"])
def test_jobs_are_valid_and_their_profiles_are_there(part: dict[str, Any]) -> None:
    job = FineTuneJob.model_validate({**JOB, "spec": {**JOB["spec"], **part}})
    assert [*semantic_problems(job.spec), *unsupported(job.spec)] == []
    profile = PROFILES[job.spec.compute.profile]
    assert job.spec.compute.gpus_per_node == profile["maxGpusPerNode"] == 1


def test_profiles_are_valid() -> None:
    cpu = {"limits": {"cpu": "1", "memory": "1Gi"}}
    image = {"name": "registry.example.com/trainer:1"}
    settings = Settings.model_validate(
        {"trainer": image, "profiles": {"default": cpu, **PROFILES}, "checkProfile": cpu}
    )
    assert {name: profile.gpu_memory for name, profile in settings.profiles.items()} == {
        "default": None,
        "gpu-80gb": "80Gi",
        "gpu-24gb": "24Gi",
    }


def test_sizes_are_those_of_the_page_about_sizes() -> None:
    def cells(line: str) -> list[str]:
        return [cell.strip() for cell in line.strip("| \n").split("|")]

    known = {row[0]: row for row in map(cells, SIZES.splitlines()) if len(row) == 6}
    shown = [row for row in map(cells, PAGE.splitlines()) if len(row) == 4 and row[1].endswith("GiB")]
    assert len(shown) == 4
    for name, lora, qlora, full in shown:
        assert (lora, qlora, full) == (known[name][4], known[name][5], known[name][2]), name
