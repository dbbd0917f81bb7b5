"""Defaults by task and method, and the spec's resolved values."""

from math import ceil
from typing import Annotated

from pydantic import Field
from pydantic.alias_generators import to_camel

from finetune_api.base import ApiModel
from finetune_api.data import RowOrder
from finetune_api.method import FeatureExtraction, Method, Solver
from finetune_api.spec import Spec
from finetune_api.tasks import COMPARES_OUTPUTS, MethodType, Task


class Resolved(ApiModel):
    """The values in force where the spec left the choice open."""

    epochs: Annotated[float, Field(ge=0)]
    """Passes over the training rows; 0 where nothing is trained. Where a head is solved, strengths of its penalty."""
    learning_rate: Annotated[float, Field(ge=0)]
    """Peak learning rate; 0 where nothing is trained, or a head is solved."""
    batch_size: Annotated[int, Field(ge=1)]
    """Rows an optimiser step."""
    max_length: Annotated[int, Field(ge=1)]
    """Longest input in tokens."""
    max_target_length: Annotated[int, Field(ge=1)] | None = None
    """Longest text to learn to write, in tokens; missing for tasks that write none."""

    @property
    def penalties(self) -> int:
        """Maximum number of L2 penalties in the L-BFGS solution of a head; 0 for gradient training."""
        return 0 if self.learning_rate else int(self.epochs)


_AS_LORA = (MethodType.QLORA, MethodType.DORA)
"""Methods that train what LoRA trains."""


def _defaults(full: Resolved, changes: dict[MethodType, dict[str, float]]) -> dict[MethodType, Resolved]:
    """Defaults of a task by method: those of `Full`, and differences of other methods."""
    differing: dict[MethodType, dict[str, float]] = {
        MethodType.FULL: {},
        **changes,
        **dict.fromkeys(_AS_LORA, changes[MethodType.LORA]),
        MethodType.MERGE: {"epochs": 0, "learning_rate": 0},
    }
    values = full.model_dump()
    return {method: Resolved(**{**values, **differing[method]}) for method in MethodType if method in differing}


DEFAULTS: dict[Task, dict[MethodType, Resolved]] = {
    Task.SEQUENCE_CLASSIFICATION: _defaults(
        Resolved(epochs=4, learning_rate=5e-5, batch_size=16, max_length=256),
        {
            MethodType.LORA: {"epochs": 6, "learning_rate": 5e-4},
            MethodType.FEATURE_EXTRACTION: {"epochs": 40, "learning_rate": 1e-3, "batch_size": 32},
            MethodType.IA3: {"epochs": 8, "learning_rate": 1e-2},
            MethodType.PREFIX_TUNING: {"epochs": 10, "learning_rate": 1e-2},
            MethodType.PROMPT_TUNING: {"epochs": 12, "learning_rate": 1e-2},
            MethodType.P_TUNING: {"epochs": 10, "learning_rate": 1e-3},
            MethodType.BOTTLENECK_ADAPTER: {"epochs": 6, "learning_rate": 1e-3},
        },
    ),
    Task.CAUSAL_LM: _defaults(
        Resolved(epochs=3, learning_rate=5e-5, batch_size=8, max_length=1024),
        {
            MethodType.LORA: {"learning_rate": 2e-4},
            MethodType.IA3: {"epochs": 4, "learning_rate": 1e-2},
            MethodType.PREFIX_TUNING: {"epochs": 4, "learning_rate": 3e-2},
            MethodType.PROMPT_TUNING: {"epochs": 4, "learning_rate": 3e-2},
            MethodType.P_TUNING: {"epochs": 4, "learning_rate": 1e-3},
            MethodType.BOTTLENECK_ADAPTER: {"learning_rate": 1e-3},
        },
    ),
    Task.PREFERENCE: _defaults(
        Resolved(epochs=1, learning_rate=1e-6, batch_size=16, max_length=1024),
        {
            MethodType.LORA: {"epochs": 2, "learning_rate": 2e-5},
            MethodType.IA3: {"epochs": 2, "learning_rate": 1e-3},
            MethodType.PREFIX_TUNING: {"epochs": 3, "learning_rate": 3e-2},
            MethodType.PROMPT_TUNING: {"epochs": 3, "learning_rate": 3e-2},
            MethodType.P_TUNING: {"epochs": 3, "learning_rate": 2e-4},
            MethodType.BOTTLENECK_ADAPTER: {"epochs": 2, "learning_rate": 5e-5},
        },
    ),
    Task.REWARD_MODEL: _defaults(
        Resolved(epochs=3, learning_rate=5e-5, batch_size=16, max_length=1024),
        {
            MethodType.LORA: {"learning_rate": 3e-4},
            MethodType.FEATURE_EXTRACTION: {"epochs": 40, "learning_rate": 1e-3, "batch_size": 32},
            MethodType.IA3: {"epochs": 4, "learning_rate": 5e-3},
            MethodType.PREFIX_TUNING: {"epochs": 6, "learning_rate": 5e-3},
            MethodType.PROMPT_TUNING: {"epochs": 6, "learning_rate": 5e-3},
            MethodType.P_TUNING: {"epochs": 6, "learning_rate": 5e-4},
            MethodType.BOTTLENECK_ADAPTER: {"epochs": 2, "learning_rate": 2e-4},
        },
    ),
    Task.POLICY_OPTIMIZATION: _defaults(
        Resolved(epochs=1, learning_rate=1e-6, batch_size=8, max_length=1024),
        {
            MethodType.LORA: {"learning_rate": 2e-5},
            MethodType.IA3: {"learning_rate": 1e-3},
            MethodType.PREFIX_TUNING: {"learning_rate": 1e-3},
            MethodType.PROMPT_TUNING: {"learning_rate": 1e-3},
            MethodType.P_TUNING: {"learning_rate": 2e-4},
            MethodType.BOTTLENECK_ADAPTER: {"learning_rate": 5e-5},
        },
    ),
    Task.MASKED_LM: _defaults(
        Resolved(epochs=5, learning_rate=1e-4, batch_size=16, max_length=256),
        {
            MethodType.LORA: {"learning_rate": 1e-3},
            MethodType.IA3: {"epochs": 6, "learning_rate": 1e-2},
            MethodType.BOTTLENECK_ADAPTER: {"learning_rate": 1e-3},
        },
    ),
    Task.TOKEN_CLASSIFICATION: _defaults(
        Resolved(epochs=6, learning_rate=5e-5, batch_size=16, max_length=256),
        {
            MethodType.LORA: {"epochs": 8, "learning_rate": 1e-3},
            MethodType.FEATURE_EXTRACTION: {"epochs": 40, "learning_rate": 3e-3, "batch_size": 32},
            MethodType.IA3: {"epochs": 10, "learning_rate": 1e-2},
            MethodType.PREFIX_TUNING: {"epochs": 12, "learning_rate": 3e-2},
            MethodType.PROMPT_TUNING: {"epochs": 12, "learning_rate": 3e-2},
            MethodType.P_TUNING: {"epochs": 12, "learning_rate": 1e-3},
            MethodType.BOTTLENECK_ADAPTER: {"epochs": 8, "learning_rate": 1e-3},
        },
    ),
    Task.SEQ2SEQ: _defaults(
        Resolved(epochs=5, learning_rate=1e-4, batch_size=16, max_length=512, max_target_length=128),
        {
            MethodType.LORA: {"epochs": 8, "learning_rate": 1e-3},
            MethodType.IA3: {"epochs": 10, "learning_rate": 1e-2},
            MethodType.PREFIX_TUNING: {"epochs": 10, "learning_rate": 3e-2},
            MethodType.PROMPT_TUNING: {"epochs": 10, "learning_rate": 1e-1},
            MethodType.P_TUNING: {"epochs": 10, "learning_rate": 1e-3},
            MethodType.BOTTLENECK_ADAPTER: {"epochs": 8, "learning_rate": 1e-3},
        },
    ),
}
"""Good results without tuning, on small and middling data. Some are measured (`benchmarks/quality`), the others follow
what was published or like methods and tasks: `docs/decisions/0029` tells which is which."""

LEAST_STEPS, MOST_EPOCHS = 200, 20
STEPS_MATTER = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.SEQ2SEQ})
"""Tasks whose training has as many epochs as make `LEAST_STEPS` steps, `MOST_EPOCHS` at most, where rows are few: new
heads and new kinds of output need steps, however many rows there are (arXiv:2006.04884; measured in 0029). Language
models begin to repeat their rows instead."""

PENALTIES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
"""Strengths of the L2 penalty on the weights of a head over standardised features; the mean loss is 1 at the most."""
STEPWISE = (
    "epochs",
    "max_steps",
    "learning_rate",
    "batch_size",
    "per_device_batch_size",
    "lr_scheduler_type",
    "warmup_ratio",
    "weight_decay",
    "optimizer",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
)
"""Fields of `training` that say how to train in steps."""


def settle_method(spec: Spec) -> Method:
    """The method with choices resolved by the rest of the job: adapter dropout, head solver."""
    method = spec.method
    if method.type is MethodType.FEATURE_EXTRACTION:
        settings = method.feature_extraction or FeatureExtraction()
        solver = _solver(spec, settings)
        return method.model_copy(update={"feature_extraction": settings.model_copy(update={"solver": solver})})
    return method.without_adapter_dropout() if spec.task in COMPARES_OUTPUTS else method


def _solver(spec: Spec, settings: FeatureExtraction) -> Solver:
    if settings.solver is not Solver.AUTO:
        return settings.solver
    return Solver.ADAMW if settings.head_hidden_size or stepwise_fields(spec) else Solver.LBFGS


def stepwise_fields(spec: Spec) -> list[str]:
    """Paths of set fields that only apply to gradient training."""
    usual = type(spec.training)()
    fields = [f"training.{to_camel(name)}" for name in STEPWISE if getattr(spec.training, name) != getattr(usual, name)]
    others = {
        "evaluation.evalSteps": spec.evaluation.eval_steps,
        "checkpoints.saveSteps": spec.checkpoints.save_steps,
        "data.order": spec.data.order is not RowOrder.SHUFFLED,
        "data.train[].weight": any(source.weight not in {None, 1} for source in spec.data.train),
    }
    return [*fields, *(path for path, is_set in others.items() if is_set)]


def resolve(spec: Spec, rows: int | None = None) -> Resolved:
    """Resolve `spec` with the defaults of its task and method.

    With few training `rows` an open number of epochs is higher, see `STEPS_MATTER`.

    Raises `KeyError` for a combination that is not built; check `checks.support` first.
    """
    defaults = DEFAULTS[spec.task][spec.method.type]
    given = {
        "epochs": spec.training.epochs,
        "learning_rate": spec.training.learning_rate,
        "batch_size": spec.training.batch_size,
        "max_length": spec.data.max_length,
        "max_target_length": spec.data.max_target_length,
    }
    resolved = defaults.model_copy(update={name: value for name, value in given.items() if value is not None})
    head = settle_method(spec).feature_extraction
    if head is not None and head.solver is Solver.LBFGS:
        return resolved.model_copy(update={"epochs": len(PENALTIES), "learning_rate": 0})
    return resolved if spec.training.epochs or not rows else with_enough_steps(resolved, spec.task, rows)


def with_enough_steps(defaults: Resolved, task: Task, rows: int) -> Resolved:
    """Defaults adjusted to the number of training rows: more epochs for few rows, see `STEPS_MATTER`."""
    if task not in STEPS_MATTER or not defaults.epochs:
        return defaults
    enough = ceil(LEAST_STEPS / ceil(rows / defaults.batch_size))
    return defaults.model_copy(update={"epochs": max(defaults.epochs, min(MOST_EPOCHS, enough))})
