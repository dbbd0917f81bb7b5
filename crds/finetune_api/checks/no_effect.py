"""Checks of settings that other settings of the job leave without effect.

What the task alone rules out is in `unused_fields`, what a merge rules out in `merge`.
"""

from collections.abc import Collection, Iterator

from finetune_api.data import NearDuplicateRule, Split
from finetune_api.evaluation import Generation
from finetune_api.failures import Problem
from finetune_api.method import Solver
from finetune_api.output import Checkpoints
from finetune_api.policy import Policy
from finetune_api.resolved import settle_method
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType, Task
from finetune_api.training import EarlyStopping, Optimizer, Training

_LABELLED = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION})
_PAIRS = frozenset({Task.PREFERENCE, Task.REWARD_MODEL})
_SPLIT_OFF = ("validation", "test")
_AROUND = ("input", "system", "history", "tools")
_ADAM = ("adam_beta1", "adam_beta2", "adam_epsilon")
_OF_PROMPTS = {"prompt_template": "promptTemplate", "chat_template": "chatTemplate"}


def ineffective_fields(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each setting that another one leaves without effect."""
    yield from _split(spec)
    yield from _columns(spec)
    yield from shape_problems(spec, _named_roles(spec))
    yield from _without_validation(spec)
    yield from _training(spec)
    yield from _solved_head(spec)
    yield from _generation(spec.evaluation.generation, spec.task)


def _split(spec: Spec) -> Iterator[Problem]:
    data, split = spec.data, spec.data.split
    for name in _SPLIT_OFF:
        share, usual = getattr(split, name), Split.model_fields[name].default
        if getattr(data, name) and share not in (0, usual):
            message = f"{share:g} of the training rows are to be split off, and data.{name} names files"
            yield Problem(message, f"spec.data.split.{name}", f"remove it, or remove data.{name}")
    is_split = bool(data.train) and any(getattr(split, name) and not getattr(data, name) for name in _SPLIT_OFF)
    if not is_split and not data.max_rows:
        message = "nothing is split off or drawn from the training rows"
        hint = "remove it, or remove data.validation or data.test"
        if split.seed != Split().seed:
            yield Problem(f"{message} with seed {split.seed}", "spec.data.split.seed", hint)
        if not split.stratify:
            yield Problem(message, "spec.data.split.stratify", hint)
    elif not split.stratify and spec.task not in _LABELLED and len(data.train) == 1:
        message = f"rows of {spec.task} have no labels, and there is one source: no shares to be kept"
        yield Problem(message, "spec.data.split.stratify", f"remove it; it is for {_listed(_LABELLED)}, or for sources")
    if not data.train and split.near_duplicates is NearDuplicateRule.IGNORE:
        yield Problem("there are no training rows to compare with", "spec.data.split.nearDuplicates", "remove it")


def _columns(spec: Spec) -> Iterator[Problem]:
    columns = spec.data.columns
    without = {}
    if spec.task is Task.CAUSAL_LM and columns.text:
        without = dict.fromkeys(_AROUND, "text, which is raw text")
    elif columns.messages:
        without = dict.fromkeys(("prompt", "input"), "messages, which hold the prompt")
    for role, other in without.items():
        column = getattr(columns, role)
        if column and not (spec.task is Task.CAUSAL_LM and role == "prompt"):  # told as rows of two shapes already
            message = f"the column {column!r} is never read beside columns.{other}"
            yield Problem(message, f"spec.data.columns.{role}", "name one of the two")


def _named_roles(spec: Spec) -> set[str]:
    """Roles whose columns the job names."""
    columns = spec.data.columns
    return {role for role in type(columns).model_fields if getattr(columns, role)}


def shape_problems(spec: Spec, roles: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each setting without effect on rows with these roles: raw text has no prompts.

    `roles` are those that the job names, or all of the rows once they are read.
    """
    data = spec.data
    if data.prompt_template is not None and data.chat_template is not None:
        message = "a prompt is put to the model by promptTemplate or by the chat template, not by both"
        yield Problem(message, "spec.data.promptTemplate", "remove one of the two")
        return
    if spec.task is Task.CAUSAL_LM and "text" in roles:
        yield from _of_raw_text(spec)
    elif data.prompt_template is not None and "messages" in roles:
        message = "chats are put to the model by its chat template"
        yield Problem(message, "spec.data.promptTemplate", "remove it, or set data.chatTemplate")


def pair_shape_problems(spec: Spec, roles: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for a prompt template where pairs are chats; `roles` are those of rows that are read."""
    if spec.task in _PAIRS and spec.data.prompt_template is not None and "prompt" not in roles:
        message = "the pairs are chats, which are put to the model by its chat template"
        yield Problem(message, "spec.data.promptTemplate", "remove it, or set data.chatTemplate")


def _of_raw_text(spec: Spec) -> Iterator[Problem]:
    for name, field in _OF_PROMPTS.items():
        if getattr(spec.data, name) is not None:
            yield Problem("raw text has no prompts", f"spec.data.{field}", "remove it, or give prompts or chats")
    if spec.evaluation.generation.answer_after:
        message = f"raw text has no answers to look for {spec.evaluation.generation.answer_after!r} in"
        yield Problem(message, "spec.evaluation.generation.answerAfter", "remove it, or give prompts with completions")


def _without_validation(spec: Spec) -> Iterator[Problem]:
    data = spec.data
    if data.validation or (data.train and data.split.validation) or spec.method.type is MethodType.MERGE:
        return
    early, usual = spec.training.early_stopping, EarlyStopping()
    given = {
        "training.earlyStopping.patience": early.patience not in (0, usual.patience),
        "training.earlyStopping.minDelta": early.min_delta != usual.min_delta,
        "evaluation.evalSteps": bool(spec.evaluation.eval_steps),
        "checkpoints.keepBest": spec.checkpoints.keep_best not in (0, Checkpoints().keep_best),
    }
    for field, is_given in given.items():
        if is_given:
            hint = "remove it, or set data.split.validation above 0"
            yield Problem("it goes by validation rows, and there are none", f"spec.{field}", hint)


def _training(spec: Spec) -> Iterator[Problem]:
    training, policy = spec.training, spec.training.policy
    if spec.method.type is MethodType.FEATURE_EXTRACTION and training.activation_checkpointing:
        message = "the base is frozen: no backward pass goes through it"
        yield Problem(message, "spec.training.activationCheckpointing", "remove it, or use method LoRA or Full")
    yield from _optimizer(spec)
    if policy is None or policy.num_iterations > 1:
        return
    if policy.clip_range != Policy.model_fields["clip_range"].default:
        message = f"{policy.clip_range:g} is never reached: a rollout's first update has nothing to clip"
        yield Problem(message, "spec.training.policy.clipRange", "remove it, or set numIterations above 1")


def _optimizer(spec: Spec) -> Iterator[Problem]:
    """Yield problems of settings that the job's optimizer does not have."""
    training, head = spec.training, spec.method.feature_extraction
    if training.optimizer is Optimizer.ADAFACTOR:
        for name in _ADAM:
            field = Training.model_fields[name]
            if getattr(training, name) != field.default:
                hint = "remove it, or use optimizer AdamW or AdamW8bit"
                yield Problem("Adafactor has no such setting", f"spec.training.{field.alias}", hint)
    if head is not None and head.solver is Solver.ADAMW and training.optimizer is not Optimizer.ADAMW:
        message = f"{training.optimizer} is not the solver that featureExtraction names, which is AdamW"
        yield Problem(message, "spec.training.optimizer", "remove one of the two")


def _solved_head(spec: Spec) -> Iterator[Problem]:
    """Yield problems of checkpoint settings of a job whose head may be solved by L-BFGS."""
    head, usual = settle_method(spec).feature_extraction, Checkpoints()
    if spec.method.type is not MethodType.FEATURE_EXTRACTION or head is None or head.solver is not Solver.LBFGS:
        return
    for name, field in (("keep_best", "keepBest"), ("keep_last", "keepLast"), ("resume_from", "resumeFrom")):
        if getattr(spec.checkpoints, name) != getattr(usual, name):
            message = "LBFGS solves the head in seconds and has no checkpoints"
            hint = "remove it, or set method.featureExtraction.solver: AdamW"
            yield Problem(message, f"spec.checkpoints.{field}", hint)


def _generation(generation: Generation, task: Task) -> Iterator[Problem]:
    if not generation.early_stopping and generation.num_beams == 1:
        message = "it ends a beam search, and there is none"
        yield Problem(message, "spec.evaluation.generation.earlyStopping", "remove it, or set numBeams above 1")
    if generation.answer_after and task is Task.PREFERENCE:
        message = "Preference compares no written answer with an expected one"
        yield Problem(message, "spec.evaluation.generation.answerAfter", "remove it")


def _listed(tasks: Collection[Task]) -> str:
    return ", ".join(task for task in Task if task in tasks)
