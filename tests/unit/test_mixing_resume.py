"""A mix, an order and noise go on after a stop as if there had been none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetune_trainer.manifest.load import load_job
from finetune_trainer.observers import Observers
from finetune_trainer.run import run_job
from finetune_trainer.run_record import RunResult
from finetune_trainer.storage import Site


class StopsAfter(Observers):
    """An observer that ends training in the middle of a step, which is lost."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def trained(self, progress: Any, tally: Any) -> None:
        super().trained(progress, tally)
        if progress.step == self._step:
            raise KeyboardInterrupt


def weights_of(result: RunResult) -> dict[str, bytes]:
    folder = Path(result.artifacts.model.removeprefix("file://"))
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "order",
    [
        "Shuffled",
        pytest.param("EasyFirst", marks=pytest.mark.slow),
        pytest.param("AsGiven", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_goes_on_through_the_same_rows(order: str, job: Callable[..., str], tmp_path: Path) -> None:
    sources = []
    for name, count, weight in (("large", 90, 1), ("small", 20, 2)):
        rows = [{"text": f"{('fine', 'poor')[n % 2]} {name} {n}", "label": "yn"[n % 2]} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources.append({"uri": f"file://./{name}.jsonl", "weight": weight})
    path = job(
        data={"train": sources, "order": order},
        training={"epochs": 3, "batchSize": 8, "neftuneNoiseAlpha": 5, "earlyStopping": {"patience": 0}},
        checkpoints={"saveSteps": 4},
    )
    loaded = load_job(path)
    whole = run_job(loaded.job, Site(loaded.base), "whole", Observers())
    assert whole.failure is None
    stopped = run_job(loaded.job, Site(loaded.base), "stopped", StopsAfter(18))
    assert stopped.checkpoint is not None
    assert stopped.checkpoint.step < 18, "two steps are done once more"
    resumed = run_job(loaded.job, Site(loaded.base), "stopped", Observers())
    assert resumed.report.resumed_from == stopped.checkpoint.step
    assert resumed.report.curves == whole.report.curves
    assert resumed.report.details == whole.report.details
    assert all(point.sources for point in whole.report.curves if point.validation)
    assert weights_of(resumed) == weights_of(whole)
