"""`validate` against `run`: what can't start is refused by both alike, and what one calls valid the other starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from broken_models import break_model, tiny_models
from effect_jobs import base_job, laid_over, manifest, write_rows
from torch import cuda

from finetune_api.tasks import Task

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    file
    for file in (ROOT / "examples").glob("**/*.yaml")
    if file.parent.name != "cluster" and file.stem != "merge-results"
)
"""All that need nothing but a model: what merges results is validated where it is run, in test_examples_run.py."""
FAMILIES = {"distilgpt2": "stories", "gpt2": "stories", "t5": "t5", "MiniLM": "bert", "distilbert": "distilbert",
            "bert": "bert"}  # fmt: skip
"""A tiny model in the place of each that an example names, by a part of its name."""
JOBS = yaml.safe_load((ROOT / "tests/data/unstartable_jobs.yaml").read_text("utf-8"))["jobs"]


@pytest.fixture(scope="session")
def model_named(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> Callable[[str], Path]:
    """A function from a name in the table to a tiny model."""
    return tiny_models(tmp_path_factory.mktemp("models"), tiny_model)


def write_job(row: dict[str, Any], folder: Path, model: Path) -> Path:
    """The job of a row of the table, in a folder with its own model and rows."""
    own, task = folder / "model", Task(row["task"])
    shutil.copytree(model, own)
    break_model(own, row.get("break", {}))
    write_rows(folder, task)
    if "rows" in row:
        lines = [json.dumps(one) for one in row["rows"] * 8]
        (folder / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / "texts.jsonl").write_text('{"text": "The printer is fine and so it is"}\n' * 4)
    spec = json.loads(json.dumps(row.get("set", {})).replace("file://{folder}", folder.as_uri()))
    job = manifest(laid_over(base_job(task, own, folder), spec))
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return folder / "job.yaml"


@pytest.mark.parametrize("row", [pytest.param(row, id=row["broken"]) for row in JOBS])
def test_what_cannot_start_is_refused_by_both(
    row: dict[str, Any], tmp_path: Path, model_named: Callable[[str], Path], cli: Callable[..., Any]
) -> None:
    if row.get("without") == "GPU" and cuda.is_available():
        pytest.skip("this machine has a GPU, so this starts")
    job = write_job(row, tmp_path, model_named(row["model"]))
    ran = cli("run", job, "--set", "spec.training.maxSteps=1", "--json").events[-1]
    said = json.loads(cli("validate", job, "--json").out)
    assert (ran.get("code"), ran["problems"][0]["where"].split()[-1:]) == (row["code"], row["where"].split())
    assert not said["valid"]
    assert said["failure"]["code"] == row["code"]
    if row.get("words") == "differ":
        assert [one["where"] for one in said["failure"]["problems"]] == [one["where"] for one in ran["problems"]]
    else:
        assert said["failure"]["problems"] == ran["problems"]


@pytest.fixture(params=EXAMPLES, ids=lambda file: file.stem)
def example(request: pytest.FixtureRequest, model_named: Callable[[str], Path], tmp_path: Path) -> list[str]:
    """Arguments that name an example and put a tiny model, and fewer rows, in the place of its own."""
    file: Path = request.param
    spec = yaml.safe_load(file.read_text())["spec"]
    name = next(known for part, known in FAMILIES.items() if part in spec["model"]["uri"])
    model = json.dumps({"uri": model_named(name).as_uri()})
    changes = {"model": model, "output.uri": tmp_path.as_uri(), "evaluation.gates": "[]"}
    changes |= {"data.maxRows": "60", "data.maxLength": "60" if "bert" in name else "200", "training.maxSteps": "2"}
    return [str(file), *(part for path, value in changes.items() for part in ("--set", f"spec.{path}={value}"))]


def test_the_examples_are_valid(example: list[str], cli: Callable[..., Any]) -> None:
    said = json.loads(cli("validate", *example, "--json").out)
    assert said["valid"], said["failure"]
    assert said["plan"]["totalSteps"] == 2


@pytest.mark.slow
def test_the_examples_run_as_they_were_validated(example: list[str], cli: Callable[..., Any]) -> None:
    said, ended = json.loads(cli("validate", *example, "--json").out), cli("run", *example, "--json")
    assert ended.code == 0, ended.out[-2000:]
    assert ended.report.data.splits.keys() == said["data"]["splits"].keys()
    rows = {name: split["rows"] for name, split in said["data"]["splits"].items()}
    assert {name: split.rows for name, split in ended.report.data.splits.items()} == rows
