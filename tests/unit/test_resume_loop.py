"""The loop goes on from a snapshot as if it had never stopped: bit for bit, whatever is in its way."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from finetune_api.failures import LossDiverged
from finetune_api.metrics import find_metric
from finetune_api.tasks import ProblemType, Task
from finetune_api.training import Optimizer, Training
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.data.tokenising.collate import FeatureRows
from finetune_trainer.training.loop import Loop, TrainingPlan, TrainingResult
from finetune_trainer.training.losses.base import RowLoss
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.state.rng import seed_everything
from finetune_trainer.training.state.tensors import IncompatibleState, trainable_parameters

ROWS, STEPS = 44, 20  # 6 steps a pass, the last of them short
FEATURES = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(1))
CLASSES = (FEATURES[:, 0] > 0).long()
SCRIPT = {3: 0.9, 6: 0.5, 9: 0.6, 12: 0.7, 15: 0.4, 18: 0.45, 20: 0.3}
SETTINGS = Training.model_validate({"warmupRatio": 0.2, "lrSchedulerType": "Cosine", "earlyStopping": {"patience": 0}})
METRIC = find_metric(Task.SEQUENCE_CLASSIFICATION, "evalLoss")


class Net(nn.Module):
    """Learns the sign of the first feature, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.dropout, self.layer, self.frozen = nn.Dropout(0.3), nn.Linear(4, 2), nn.Linear(4, 4)
        self.frozen.requires_grad_(requires_grad=False)

    def forward(self, features: Tensor) -> Any:
        return type("Output", (), {"logits": self.layer(self.dropout(self.frozen(features)))})


class NormedNet(Net):
    """The same with running statistics, which move without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("scratch", torch.zeros(4), persistent=False)

    def forward(self, features: Tensor) -> Any:
        return super().forward(self.norm(features))


class WideNet(Net):
    """The same with matrices that are large enough for a state in 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(4, 2_048), nn.Linear(2_048, 4)

    def forward(self, features: Tensor) -> Any:
        return super().forward(self.narrow(self.wide(features).relu()))


class KilledError(Exception):
    pass


class Keeper:
    """Keeps every state and ends as a process that is killed does."""

    def __init__(self, kill_after: int = 0) -> None:
        self.kept = list[Snapshot]()
        self._kill_after = kill_after

    def check(self) -> None:
        pass

    def is_due(self, _step: int) -> bool:
        return True

    def keep(self, take: Callable[[], Snapshot]) -> None:
        self.kept.append(take())
        if self.kept[-1].step == self._kill_after:
            raise KilledError


class Process:
    """A process that trains: everything anew but what is on disk."""

    def __init__(
        self,
        folder: Path,
        settings: Training = SETTINGS,
        *,
        per_device_batch_size: int = 3,
        model: type[Net] = Net,
        script: dict[int, float] = SCRIPT,
        report_every: float | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        seed_everything(4)
        self._script = script
        self.net, self.losses, self.evaluations = model(), list[tuple[int, float]](), list[tuple[int, float, bool]]()
        rows = FeatureRows(FEATURES)
        plan = TrainingPlan(
            settings, 0.05, STEPS, 3, METRIC, BatchPlan(rows.lengths, 8, per_device_batch_size, 2_048, 7)
        )
        loss = RowLoss(Objective(ProblemType.SINGLE_LABEL), CLASSES)
        self.loop = Loop(
            self.net, rows, loss, plan, Accelerator(cpu=True), best=BestWeights(folder), report_every=report_every
        )

    def run(self, keeper: Keeper | None = None) -> TrainingResult:
        return self.loop.run(self._evaluate, self, keeper)

    def weights(self) -> Tensor:
        return torch.cat([weight.detach().flatten() for weight in self.net.parameters()]).clone()

    def trained(self, progress: Any, tally: Any) -> None:
        self.losses.append((progress.step, progress.loss, tally.samples, tally.gradient_norm))

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        self.evaluations.append((step, metrics["evalLoss"], is_best))

    def warned(self, text: str) -> None:
        raise AssertionError(text)

    def _evaluate(self) -> dict[str, float]:
        return {"evalLoss": self._script[self.loop.step]}


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Process, TrainingResult, list[Snapshot]]:
    process, keeper = Process(tmp_path / "whole"), Keeper()
    result = process.run(keeper)
    assert [snapshot.step for snapshot in keeper.kept] == list(range(1, STEPS + 1))
    return process, result, keeper.kept


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_who_is_killed_at_any_step_ends_the_same(step: int, whole: Any, tmp_path: Path) -> None:
    process, result, _ = whole
    first, keeper = Process(tmp_path / "first"), Keeper(kill_after=step)
    with pytest.raises(KilledError):
        first.run(keeper)
    second = Process(tmp_path / "second")
    torch.rand(17)  # a new process draws other numbers before training begins
    second.loop.restore(keeper.kept[-1])
    ended = second.run()
    assert first.losses + second.losses == process.losses
    assert first.evaluations + second.evaluations == process.evaluations
    assert ended.curves == result.curves
    assert (ended.best, ended.steps, ended.stopped_early) == (result.best, result.steps, result.stopped_early)
    assert torch.equal(second.weights(), process.weights())
    assert ended.throughput["paddingRatio"] == result.throughput["paddingRatio"]


@pytest.mark.parametrize("step", [1, 4, 13])
def test_steps_that_are_reported_together_change_nothing(step: int, whole: Any, tmp_path: Path) -> None:
    """As on a GPU; what is saved, evaluated and told of each step is the same."""
    process, result, kept = whole
    first, keeper = Process(tmp_path / "first", report_every=1e9), Keeper(kill_after=step)
    with pytest.raises(KilledError):
        first.run(keeper)
    assert keeper.kept[-1].values == kept[step - 1].values | {
        "training": kept[step - 1].values["training"] | {"work": keeper.kept[-1].values["training"]["work"]}
    }
    second = Process(tmp_path / "second", report_every=1e9)
    second.loop.restore(keeper.kept[-1])
    ended = second.run()  # without a keeper, at evaluations and at the end only
    assert first.losses + second.losses == process.losses
    assert first.evaluations + second.evaluations == process.evaluations
    assert ended.curves == result.curves
    assert torch.equal(second.weights(), process.weights())


def test_a_loss_that_is_no_number_is_told_with_its_step(tmp_path: Path) -> None:
    process = Process(tmp_path / "diverged", report_every=1e9, script={})
    with torch.no_grad():
        process.net.layer.weight.fill_(torch.inf)
    with pytest.raises(LossDiverged, match=r"became nan at step 1\n"):
        process.run()


@pytest.mark.parametrize("optimizer", ["AdamW8bit", "Adafactor"])
@pytest.mark.parametrize("step", [1, 7, 19])
def test_every_optimizer_goes_on_with_its_state(optimizer: str, step: int, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": Optimizer(optimizer)})
    whole = Process(tmp_path / "whole", settings, model=WideNet)
    whole.run()
    first, keeper = Process(tmp_path / "first", settings, model=WideNet), Keeper(kill_after=step)
    with pytest.raises(KilledError):
        first.run(keeper)
    second = Process(tmp_path / "second", settings, model=WideNet)
    second.loop.restore(keeper.kept[-1])
    second.run()
    assert first.losses + second.losses == whole.losses
    assert torch.equal(second.weights(), whole.weights())


@pytest.mark.parametrize("optimizer", ["AdamW8bit", "Adafactor"])
def test_the_state_of_another_optimizer_is_refused(optimizer: str, tmp_path: Path) -> None:
    first, keeper = Process(tmp_path / "first", model=WideNet), Keeper(kill_after=3)
    with pytest.raises(KilledError):
        first.run(keeper)
    settings = SETTINGS.model_copy(update={"optimizer": Optimizer(optimizer)})
    second = Process(tmp_path / "second", settings, model=WideNet)
    before = second.weights()
    with pytest.raises(IncompatibleState, match="has no place for step/"):
        second.loop.restore(keeper.kept[-1])
    assert torch.equal(second.weights(), before)


@pytest.mark.parametrize("step", [1, 7, 13, 19, 20])
@pytest.mark.parametrize("last", [0.3, 0.8], ids=["best at the end", "best before"])
def test_running_statistics_go_on_and_go_back_with_the_weights(step: int, last: float, tmp_path: Path) -> None:
    def begin(name: str) -> Process:
        return Process(tmp_path / name, per_device_batch_size=4, model=NormedNet, script={**SCRIPT, 20: last})

    process, keeper = begin("whole"), Keeper()
    process.run(keeper)
    first, killed = begin("first"), Keeper(kill_after=step)
    with pytest.raises(KilledError):
        first.run(killed)
    second = begin("second")
    second.loop.restore(killed.kept[-1])
    second.run()
    for name, tensor in process.net.state_dict().items():
        assert torch.equal(second.net.state_dict()[name], tensor), name
    best = keeper.kept[(20 if last == 0.3 else 15) - 1].parts["weights"]
    assert torch.equal(process.net.state_dict()["norm.running_mean"], best["norm.running_mean"])
    assert "scratch" not in best
    assert not torch.equal(best["norm.running_mean"], keeper.kept[0].parts["weights"]["norm.running_mean"])


def test_a_state_without_a_buffer_of_the_model_is_of_another(whole: Any, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleState, match=r"norm\.bias and 4 more"):
        Process(tmp_path / "other", model=NormedNet).loop.restore(whole[2][5])


@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_comes_at_the_same_step(patience: int, tmp_path: Path) -> None:
    settings = Training.model_validate({"earlyStopping": {"patience": patience}})
    process = Process(tmp_path / "whole", settings)
    result = process.run(Keeper())
    assert result.stopped_early
    assert result.steps == {1: 9, 2: 12}[patience]
    for step in (5, 6, 8, 9):
        first, keeper = Process(tmp_path / "first", settings), Keeper(kill_after=step)
        with pytest.raises(KilledError):
            first.run(keeper)
        second = Process(tmp_path / "second", settings)
        second.loop.restore(keeper.kept[-1])
        ended = second.run()
        assert (ended.steps, ended.best, ended.curves) == (result.steps, result.best, result.curves)
        assert torch.equal(second.weights(), process.weights())


def test_a_state_is_a_copy(whole: Any) -> None:
    _, _, kept = whole
    for before, after in pairwise(kept):
        assert not torch.equal(before.parts["weights"]["layer.weight"], after.parts["weights"]["layer.weight"])
        assert not torch.equal(before.parts["random"]["torch"], after.parts["random"]["torch"]) or after.step == STEPS


def test_what_a_state_holds(whole: Any) -> None:
    process, _, kept = whole
    by_step = {snapshot.step: snapshot for snapshot in kept}
    assert set(by_step[5].parts["weights"]) == set(trainable_parameters(process.net)) == {"layer.weight", "layer.bias"}
    assert "best" not in by_step[6].parts, "the best weights are those of the state itself"
    assert torch.equal(by_step[8].parts["best"]["layer.weight"], by_step[6].parts["weights"]["layer.weight"])
    assert set(by_step[STEPS].parts) == {"weights", "random"}, "nobody trains on from the end"
    assert [by_step[step].metric for step in (2, 3, 7, 9, 20)] == [None, 0.9, 0.5, 0.6, 0.3]
    assert by_step[9].epoch == 1.5


def test_rates_count_earlier_attempts(whole: Any, tmp_path: Path) -> None:
    _, result, kept = whole
    second = Process(tmp_path / "second")
    work = dict(kept[9].values["training"]["work"], seconds=1_000.0, paused=10.0)
    training = dict(kept[9].values["training"], work=work)
    second.loop.restore(replace(kept[9], values={"training": training}))
    ended = second.run()
    samples = second.losses[-1][2]
    assert samples in {3 * ROWS + 16, 3 * ROWS + 12}, "three passes and two steps, one of which may be the short one"
    assert ended.throughput["samplesPerSecond"] == pytest.approx(samples / 990, rel=0.01)
    assert result.throughput["samplesPerSecond"] > ended.throughput["samplesPerSecond"]


Parts = dict[str, dict[str, Tensor]]
State = dict[str, Any]


def without(*path: str) -> Callable[[Parts, State], None]:
    def change(parts: Parts, _state: State) -> None:
        node: Any = parts
        for name in path[:-1]:
            node = node[name]
        del node[path[-1]]

    return change


def with_tensor(part: str, name: str, tensor: Tensor) -> Callable[[Parts, State], None]:
    return lambda parts, _state: parts[part].update({name: tensor})


def with_value(name: str, value: Any) -> Callable[[Parts, State], None]:
    return lambda _parts, state: state.update({name: value})


BROKEN = {
    "missing weight": without("weights", "layer.bias"),
    "unknown weight": with_tensor("weights", "layer.scale", torch.zeros(2)),
    "other shape": with_tensor("weights", "layer.bias", torch.zeros(3)),
    "other type": with_tensor("weights", "layer.bias", torch.zeros(2, dtype=torch.float64)),
    "no best weights": without("best"),
    "no random state": without("random"),
    "no optimiser": without("optimizer"),
    "a moment is missing": without("optimizer", "exp_avg/layer.bias"),
    "optimiser of another model": with_tensor("optimizer", "exp_avg/other.weight", torch.zeros(2)),
    "nothing about the optimiser": with_value("optimizer", {}),
    "nothing about random generators": with_value("random", {"python": {}, "numpy": 3}),
    "nothing about the schedule": with_value("schedule", {}),
    "other layout": with_value("layout", 2),
    "unknown field": with_value("mood", "good"),
    "other rows": with_value("plan", {"total_steps": STEPS, "steps_per_epoch": 6, "rows": "0"}),
    "other step": with_value("step", 3),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_state_that_does_not_fit_changes_nothing(
    change: Callable[[Parts, State], None], whole: Any, tmp_path: Path
) -> None:
    kept = whole[2]
    parts = {name: dict(part) for name, part in kept[9].parts.items()}
    state = dict(kept[9].values["training"])
    change(parts, state)
    process = Process(tmp_path / "new")
    before, random = process.weights(), torch.get_rng_state()
    with pytest.raises(IncompatibleState):
        process.loop.restore(replace(kept[9], parts=parts, values={"training": state}))
    assert torch.equal(process.weights(), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert process.loop.step == 0


def test_the_end_is_not_trained_again(whole: Any, tmp_path: Path) -> None:
    process, result, kept = whole
    second, keeper = Process(tmp_path / "second"), Keeper()
    second.loop.restore(kept[-1])
    ended = second.run(keeper)
    assert (second.losses, second.evaluations, keeper.kept) == ([], [], [])
    assert torch.equal(second.weights(), process.weights())
    assert (ended.curves, ended.best) == (result.curves, result.best)
