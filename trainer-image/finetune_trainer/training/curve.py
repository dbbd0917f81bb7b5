"""Learning curves, with a bounded number of points."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from finetune_api.curves import CurvePoint
from finetune_api.outcome import Best

_POINTS = 200


class CurveState(BaseModel):
    """A curve as a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points: tuple[CurvePoint, ...] = ()
    """What there is so far."""
    losses: tuple[float, ...] = ()
    """Losses of the steps since the last point."""
    figures: tuple[dict[str, float], ...] = ()
    """Further figures of these steps, of losses that have some."""


def loss_of_best(points: Sequence[CurvePoint], best: Best | None) -> float | None:
    """Loss on the validation rows of the best evaluation; None where there is none, or it measured no loss."""
    step = best.step if best else None
    return next((point.validation.get("evalLoss") for point in reversed(points) if point.step == step), None)


class Curve:
    """Collects training losses, and validation metrics."""

    def __init__(self, total_steps: int, steps_per_epoch: int) -> None:
        self._every, self._steps_per_epoch = max(1, total_steps // _POINTS), steps_per_epoch
        self._points, self._losses, self._figures = list[CurvePoint](), list[float](), list[dict[str, float]]()

    @property
    def points(self) -> list[CurvePoint]:
        """The curve so far."""
        return list(self._points)

    def add(self, step: int, loss: float, learning_rate: float, norm: float, figures: Mapping[str, float]) -> None:
        """Add a step; a point holds mean loss and mean metrics since the point before."""
        self._losses.append(loss)
        self._figures.append(dict(figures))
        if step % self._every == 0 or step == 1:
            self._point(
                step,
                loss=float(np.mean(self._losses)),
                learning_rate=learning_rate,
                gradient_norm=norm if math.isfinite(norm) else None,
                figures={name: float(np.mean([step[name] for step in self._figures])) for name in figures},
            )
            self._losses.clear()
            self._figures.clear()

    def evaluated(self, step: int, metrics: dict[str, float], losses: dict[str, float]) -> None:
        """Add an evaluation, with its loss by source."""
        if self._points and self._points[-1].step == step:
            self._points[-1] = self._points[-1].model_copy(update={"validation": metrics, "sources": losses})
        else:
            self._point(step, validation=metrics, sources=losses)

    def state(self) -> CurveState:
        """The current curve as a value."""
        return CurveState(points=tuple(self._points), losses=tuple(self._losses), figures=tuple(self._figures))

    def resume_from(self, state: CurveState) -> None:
        """Restore a state."""
        self._points, self._losses, self._figures = list(state.points), list(state.losses), list(state.figures)

    def _point(self, step: int, **values: object) -> None:
        fields = {"step": step, "epoch": step / self._steps_per_epoch, **values}
        self._points.append(CurvePoint.model_validate(fields))
