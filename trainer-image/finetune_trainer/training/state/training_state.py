"""`TrainingState`: counters, curves, schedule and RNG values of a checkpoint, everything but tensors, as JSON."""

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from finetune_api.outcome import Best
from finetune_api.renamed import current_names
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.training.curve import CurveState
from finetune_trainer.training.early_stopping import EarlyStoppingState
from finetune_trainer.training.state.tensors import IncompatibleState
from finetune_trainer.training.throughput import Work

TRAINING = "training"
"""Key of `Snapshot.values` that holds a `TrainingState`."""


class Plan(BaseModel):
    """Number of steps and digest of the rows; training only resumes under the same plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total_steps: int
    steps_per_epoch: int
    rows: str
    """SHA-256 over the lengths of the training rows, and over what their course depends on."""


def plan_of(total_steps: int, batches: BatchPlan) -> Plan:
    """The plan of `batches` and a number of steps."""
    rows = hashlib.sha256(batches.lengths.astype("<i8").tobytes())
    if batches.course is not None:
        rows.update(batches.course.digest().encode())
    return Plan(total_steps=total_steps, steps_per_epoch=batches.steps_per_epoch, rows=rows.hexdigest())


class TrainingState(BaseModel):
    """A training state without its tensors; layout of `training` in `state.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal[1] = 1
    """Raised whenever older states can't be read any more."""
    plan: Plan
    step: int
    """Optimiser steps that are done."""
    evaluated: int = 0
    """Step of the newest evaluation; one that is due and missing comes first when training goes on."""
    metric: float | None = None
    """What it gave for `evaluation.metric`."""
    best: Best | None = None
    reference: float | None = None
    waited: int = 0
    token_budget: int | None = None
    """Most padded tokens of a pass, so that a later attempt cuts steps alike; None in states of earlier versions."""
    finished: bool = False
    """Training is over; the weights are those of the best evaluation."""
    curve: CurveState = CurveState()
    work: Work = Work()
    schedule: dict[str, Any] = {}
    scaler: dict[str, Any] = {}
    optimizer: dict[str, Any] = {}
    random: dict[str, Any] = {}

    @property
    def choice(self) -> EarlyStoppingState:
        """The best evaluation so far, and patience."""
        return EarlyStoppingState(self.best, self.reference, self.waited)


def check_plan(state: TrainingState, plan: Plan, *, may_be_longer: bool) -> None:
    """Raise `IncompatibleState` for a state of another plan; another number of steps may be allowed."""
    there = state.plan
    if there == plan:
        return
    if not may_be_longer or there.model_copy(update={"total_steps": plan.total_steps}) != plan:
        raise IncompatibleState("its rows or its number of steps are others")
    if state.finished:
        raise IncompatibleState(f"its training of {there.total_steps} steps is over, and this one has another length")
    if state.step > plan.total_steps:
        raise IncompatibleState(f"it is of step {state.step}, and this training ends after {plan.total_steps}")


def state_of(snapshot: Snapshot) -> TrainingState:
    """The state in a snapshot. Raises `IncompatibleState` where this version can't read it."""
    try:
        state = TrainingState.model_validate(current_names(TrainingState, snapshot.values.get(TRAINING)))
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        raise IncompatibleState(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}") from error
    if state.step != snapshot.step:
        raise IncompatibleState(f"its state is of step {state.step}")
    return state
