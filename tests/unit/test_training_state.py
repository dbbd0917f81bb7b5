"""Training states of checkpoints that other versions have saved."""

from finetune_api.renamed import first_names
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.training.state.training_state import TRAINING, TrainingState, state_of

FIRST = {
    "plan": {"total_steps": 4, "steps_per_epoch": 2, "rows": "ab"},
    "step": 2,
    "curve": {
        "points": [{"step": 1, "epoch": 0.5, "figures": {"meanReward": 0.5, "constantGroups": 1.0}}],
        "losses": [0.25],
        "figures": [{"meanReward": 0.25, "constantGroups": 0.0}],
    },
}


def test_a_curve_goes_on_under_the_present_names_of_its_figures() -> None:
    curve = state_of(Snapshot(step=2, epoch=1.0, parts={}, values={TRAINING: FIRST})).curve
    assert curve.points[0].figures == {"meanReward": 0.5, "zeroVarianceGroups": 1.0}
    assert curve.figures == ({"meanReward": 0.25, "zeroVarianceGroups": 0.0},)


def test_a_state_is_written_by_the_names_that_every_version_knows() -> None:
    state = state_of(Snapshot(step=2, epoch=1.0, parts={}, values={TRAINING: FIRST}))
    written = first_names(TrainingState, state.model_dump(mode="json"))
    assert written["curve"]["figures"] == [{"meanReward": 0.25, "constantGroups": 0.0}]
