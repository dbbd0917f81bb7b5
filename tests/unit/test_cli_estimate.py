"""`finetune-trainer estimate`: figures, refusal and remedies, as a user sees them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_load

from finetune_api.job import FineTuneJob
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.storage import Site
from finetune_trainer.validation import validate_job

ROOT = Path(__file__).parents[2]
Job = Callable[..., str]
Cli = Callable[..., Any]


def facts(cli: Cli, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(cli("estimate", *arguments, "--json").out))


def test_table_fits_a_terminal(job: Job, cli: Cli) -> None:
    ended = cli("estimate", job())
    assert (ended.code, ended.err) == (0, "")
    assert "weights" in ended.out
    assert "fits" in ended.out
    assert "time: not known" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_time_is_tokens_over_the_measured_rate(job: Job, cli: Cli) -> None:
    work = facts(cli, job(), "--rate", "1000")["work"]
    assert work["seconds"] == pytest.approx(work["tokens"] / 1000)
    assert work["steps"] == 6  # 172 training rows (80 % of 216) in batches of 32


@pytest.mark.causes("ModelDoesNotFit")
def test_a_job_that_clearly_does_not_fit_is_refused_with_remedies(job: Job, cli: Cli) -> None:
    ended = cli("estimate", job(), "--memory", "1Mi", "--json")
    found = json.loads(ended.out)
    assert ended.code == 71
    assert found["failure"]["code"] == "ModelDoesNotFit"
    sizes = [one["peakBytes"] for one in found["remedies"]]
    assert sizes
    assert sizes == sorted(sizes)
    assert max(sizes) < found["peakBytes"]


@pytest.mark.causes("ModelDoesNotFit")
@pytest.mark.parametrize(("memory", "code"), [(1 << 20, "ModelDoesNotFit"), (1 << 40, "")])
def test_the_check_refuses_a_job_that_its_gpu_has_no_room_for(memory: int, code: str, job: Job, tmp_path: Path) -> None:
    read = FineTuneJob.model_validate(safe_load(Path(job(compute={"gpusPerNode": 1})).read_text()))
    result = validate_job(read, Site(tmp_path), "1", PlainObserver(), gpu_memory=memory)
    assert (result.failure.code if result.failure else "") == code
    if result.failure is not None:
        (problem,) = result.failure.problems
        assert "activations" in problem.message
        assert "by the compute profile" in problem.message
        assert "method.type=LoRA" in problem.hint


def test_validate_tells_the_peak(job: Job, cli: Cli) -> None:
    (line,) = [line for line in cli("validate", job()).out.splitlines() if line.startswith("memory ")]
    assert "activations" in line
    size = json.loads(cli("validate", job(), "--json").out)["size"]
    assert size["peakBytes"] == max(sum(phase["device"].values()) for phase in size["phases"].values())


@pytest.mark.parametrize(
    "arguments", [("--memory", "much"), ("--memory", "-1"), ("--rate", "fast"), ("--rate", "0"), ("--rate", "nan")]
)
def test_what_is_no_figure_is_refused(arguments: tuple[str, str], job: Job, cli: Cli) -> None:
    ended = cli("estimate", job(), *arguments, "--json")
    assert ended.code == 64
    assert json.loads(ended.out)["failure"]["problems"][0]["where"] == arguments[0]


@pytest.mark.slow
def test_the_rate_of_an_earlier_run_is_taken_from_its_report(job: Job, cli: Cli) -> None:
    path = job()
    ran = cli("run", path, "--json")
    rate = ran.report.throughput["tokensPerSecond"]
    work = facts(cli, path, "--rate", str(ran.folder))["work"]
    assert work["tokensPerSecond"] == pytest.approx(rate)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert-Full", "llama-LoRA", "gpt2-Full", "t5-LoRA"])
def test_the_estimate_is_within_15_percent_of_the_measured_peak(name: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "estimate.py"), "--json", "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["measured"] > 300, "MiB: large enough for Python's own memory not to matter"
    assert found["estimated"] == pytest.approx(found["measured"], rel=0.15)
