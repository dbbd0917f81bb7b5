"""The suite of `make bench-quality`: its cases can run, and what was measured once is not measured again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.job import FineTuneJob
from finetune_api.metrics import find_metric
from finetune_api.tasks import BUILT, MethodType

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RESTAURANTS = ROOT / "examples" / "data" / "e2e_restaurants.jsonl"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("quality", "ours")]:
        del sys.modules[name]


def spec_of(name: str, method: MethodType, tmp_path: Path) -> dict[str, Any]:
    from quality.cases import CASES
    from quality.runs import budgeted, run_at

    files = {split: tmp_path / f"{split}.jsonl" for split in ("train", "validation", "test")}
    judge = tmp_path / "judge" if CASES[name].judge else None
    return budgeted(CASES[name].spec(files, tmp_path / "model", judge), run_at(name, method))


def test_every_case_is_a_job_that_can_run(tmp_path: Path) -> None:
    from quality.cases import CASES

    for name, case in CASES.items():
        for method in case.methods:
            spec = {**spec_of(name, method, tmp_path), "output": {"uri": "file://out"}}
            manifest = {
                "apiVersion": "finetune.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"name": "a"},
                "spec": spec,
            }
            job = FineTuneJob.model_validate_json(json.dumps(manifest))
            assert [*semantic_problems(job.spec), *unsupported(job.spec)] == [], (name, method)


def test_all_methods_are_compared_but_merging_and_qlora() -> None:
    from quality.cases import CASES

    for case in CASES.values():
        assert set(case.methods) == BUILT[case.task] - {MethodType.MERGE, MethodType.QLORA}


def test_tables_show_metrics_that_the_task_has() -> None:
    from quality.cases import CASES

    for name, case in CASES.items():
        assert all(find_metric(case.task, figure) for figure in case.figures), name


def test_rows_are_thinned_evenly() -> None:
    from quality.rows import thin

    rows = [{"number": number} for number in range(10)]
    assert [row["number"] for row in thin(rows, 4)] == [0, 2, 5, 7]
    assert thin(rows, 20) == rows


def test_the_two_halves_of_a_data_set_have_no_row_in_common() -> None:
    from quality.rows import even, odd

    rows = [json.loads(line) for line in RESTAURANTS.read_text("utf-8").splitlines()]
    assert len(even(rows)) + len(odd(rows)) == len(rows)
    assert not [row for row in odd(rows) if row in even(rows)]


def test_what_was_measured_is_found_again_and_nothing_else(tmp_path: Path) -> None:
    from quality.ledger import Ledger
    from quality.runs import run_at

    ledger, run = Ledger(tmp_path / "figures.jsonl"), run_at("e2e_nlg", MethodType.LORA)
    assert ledger.find(run) is None
    ledger.add(run, {"seconds": 1.0})
    ledger.add(run, {"seconds": 2.0})
    assert ledger.find(run) == {"seconds": 2.0}
    assert ledger.find(run_at("e2e_nlg", MethodType.LORA, factor=3)) is None
    assert ledger.find(run_at("e2e_nlg-reversed", MethodType.LORA)) is None


@pytest.mark.slow
def test_a_suite_that_was_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    pairs = (ROOT / "examples" / "data" / "preferences.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "gsm8k_preference").mkdir()
    for split, rows in {"train": pairs[:12], "validation": pairs[12:16], "test": pairs[16:24]}.items():
        (tmp_path / "gsm8k_preference" / f"{split}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")

    def suite(methods: str) -> subprocess.CompletedProcess[str]:
        options = {"--data": tmp_path, "--model": tmp_path, "--work": tmp_path / "work", "--methods": methods}
        words = [str(word) for option in options.items() for word in option]
        command = [sys.executable, str(BENCHMARKS / "compare_quality.py"), "--cases", "gsm8k_preference-brief", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}, cwd=tmp_path)

    first, second = suite("LoRA"), suite("LoRA,IA3")
    assert "LoRA" in first.stderr
    assert "LoRA" not in second.stderr
    assert "IA3" in second.stderr
    row = next(line for line in first.stdout.splitlines() if "`LoRA`" in line)
    assert row in second.stdout
    assert "`IA3`" in second.stdout
