"""One run: a case by a method, by this project or by hand, in a process of its own."""

import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ours import run_ours
from quality.bases import Place, spec_of
from quality.cases import CASES

from finetune_api.resolved import DEFAULTS, with_enough_steps
from finetune_api.tasks import MethodType

OURS, BY_HAND = "this project", "by hand"
_KIBIBYTES = 1024
_PRELOADED = ["torch", "transformers", "peft", "sklearn.linear_model", "finetune_trainer.run"]


@dataclass(frozen=True)
class Run:
    """What is run; equal ones need to be run once only."""

    case: str
    method: str
    learning_rate: float
    epochs: float
    seed: int
    side: str = OURS

    @property
    def known_by(self) -> dict[str, Any]:
        """What tells it from other runs, with what its figures depend on."""
        case = CASES[self.case]
        return {**asdict(self), "rows": list(case.rows), "blocks": case.blocks}


def run_at(case: str, method: MethodType, factor: float = 1, seed: int = 1, side: str = OURS) -> Run:
    """The run at `factor` times the learning rate that is usual for its case."""
    task, usual = CASES[case].task, CASES[case].factor
    defaults = with_enough_steps(DEFAULTS[task][method], task, CASES[case].rows[0])
    return Run(case, method.value, float(f"{defaults.learning_rate * usual * factor:.2g}"), defaults.epochs, seed, side)


def measure(run: Run, place: Place, rows: tuple[int, int, int] | None = None) -> dict[str, Any]:
    """Figures of a run: metrics of both models, `trainable` and `total` weights, `seconds` and `mebibytes`.

    `rows` are the most to train, validate and test on, where it's not those of the case.

    Seconds are those of the processor, from loading to the test rows; what takes seconds to import is there before.
    Memory is the most that the process had at once, beyond the libraries. Raises what the run raises.
    """
    case = CASES[run.case]
    spec = budgeted(spec_of(replace(case, rows=rows or case.rows), place), run)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, run.side, run.case, spec).result()


def budgeted(spec: dict[str, Any], run: Run) -> dict[str, Any]:
    """The spec with the method and the budget of a run.

    A frozen encoder's output layer is solved, unless rate or epochs are named.
    """
    if run.method == MethodType.FEATURE_EXTRACTION:
        return {**spec, "method": {"type": run.method}, "training": {**spec.get("training", {}), "seed": run.seed}}
    budget = {"epochs": run.epochs, "learningRate": run.learning_rate, "seed": run.seed}
    return {**spec, "method": {"type": run.method}, "training": {**spec.get("training", {}), **budget}}


def _measured(side: str, case: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Runs in the process of the run."""
    from finetune_trainer.cli.silence_libraries import silence_libraries

    silence_libraries()
    start, libraries = time.process_time(), _peak()
    figures = _ours(spec) if side == OURS else _by_hand(case, spec)
    return {**figures, "seconds": round(time.process_time() - start, 1), "mebibytes": round(_peak() - libraries)}


def _peak() -> float:
    """The most memory that this process had at once, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES


def _ours(spec: dict[str, Any]) -> dict[str, Any]:
    report = run_ours(spec, Path.cwd())
    figures: dict[str, Any] = {"metrics": report.evaluation.metrics, "baseline": report.evaluation.baseline}
    if report.parameters is not None:
        figures |= report.parameters.model_dump()
    epochs = report.curves[-1].epoch if report.curves else 0
    return {**figures, "passes": round(epochs, 2), "verdict": report.verdict.fit if report.verdict else ""}


def _by_hand(case: str, spec: dict[str, Any]) -> dict[str, Any]:
    from importlib import import_module

    from finetune_api.spec import Spec
    from finetune_trainer.data import prepare
    from finetune_trainer.models.fetching import fetch_model
    from finetune_trainer.storage import Site

    parsed = Spec.model_validate_json(json.dumps({**spec, "output": {"uri": "file://unused"}}))
    site = Site(Path.cwd())
    script = import_module(f"quality.by_hand.{SCRIPTS[CASES[case].task.value]}")
    data = prepare(parsed.data, site=site, task=parsed.task)
    return {"metrics": script.by_hand(parsed, data, fetch_model(parsed.model, site).folder), "baseline": {}}


SCRIPTS = {
    "SequenceClassification": "classes",
    "TokenClassification": "entities",
    "CausalLM": "language",
    "MaskedLM": "masked",
}
"""Scripts by hand, by task."""
