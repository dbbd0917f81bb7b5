"""The job in the README's picture is one that is accepted."""

import re
from pathlib import Path

import yaml

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.job import FineTuneJob

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "overview.svg"
TEXT = re.compile(r'<text class="mono" x="(\d+)" y="\d+">(.*?)</text>')


def test_the_job_in_the_picture_is_accepted() -> None:
    (group,) = re.findall(r'<g class="job".*?</g>', PICTURE.read_text(), re.DOTALL)
    lines = [" " * (int(x) // 6) + re.sub(r"<[^>]+>", "", text) for x, text in TEXT.findall(group)]
    job = yaml.safe_load("\n".join(lines))
    whole = {"apiVersion": "finetune.dev/v1alpha1", "metadata": {"name": "picture"}, **job}
    spec = FineTuneJob.model_validate(whole).spec
    assert [*semantic_problems(spec), *unsupported(spec)] == []
    assert spec.evaluation.gates[0].min == 0.8


def test_nothing_in_the_picture_is_yet_to_come() -> None:
    text = PICTURE.read_text()
    assert "kubectl apply" in text
    assert not re.search(r"\(next\)|untouched|dasharray: 5", text)
