"""What the model can do: before training, after it, and against what the job demands."""

from finetune_api.outcome import EvaluationResult
from finetune_trainer.evaluation.baseline_comparison import ConstantBaseline, compare_with_baselines
from finetune_trainer.evaluation.fit_diagnosis import diagnose_not_learned
from finetune_trainer.evaluation.gates import check_gates
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.stages.preparing import PreparedModel, evaluation_split
from finetune_trainer.tasks.final_evaluation import measure_all
from finetune_trainer.tasks.task import HasTrivialAnswer, Task
from finetune_trainer.training.inference import Outputs


def score_baseline(task: Task, ready: PreparedModel, observer: RunObserver) -> Outputs:
    """Outputs of the base model on the rows of the final evaluation, and where the job asks for it with examples.

    They go with checkpoints: an attempt that goes on from one has them.
    """
    with ready.adapted.untouched(), ready.accelerator.autocast():
        outputs = look(task, ready, "baseline", observer)
        if ready.few_shot is None:
            return outputs
        with observer.working("examples", len(ready.few_shot.rows.lengths)) as advance:
            return outputs | ready.few_shot.infer(ready.adapted.model, ready.tokenizer, advance)


def look(task: Task, ready: PreparedModel, what: str, observer: RunObserver) -> Outputs:
    """What the model says now of the rows of the final evaluation, and of those of the old skill.

    In the precision of training: base model, reference and tuned model are measured alike.
    """
    rows, skill = ready.rows[evaluation_split(task)], ready.skill
    total = len(rows.lengths) + (len(skill.rows.lengths) if skill else 0)
    with observer.working(what, total) as advance, ready.accelerator.autocast():
        outputs = task.infer(ready.adapted.model, rows, ready.tokenizer, advance, thorough=True)
        return outputs | (skill.infer(advance) if skill else {})


def evaluate(task: Task, ready: PreparedModel, baseline: Outputs | None, notes: Notes, observer: RunObserver) -> None:
    """Measure the tuned model on the held-out rows and check the gates."""
    split = evaluation_split(task)
    outputs = look(task, ready, "evaluating", observer)
    measured = measure_all(
        task, ready.tokens[split], ready.skill, split, after=outputs, before=baseline, few_shot=ready.few_shot
    )
    metrics, before = measured.metrics, measured.baseline
    trivial = (
        ConstantBaseline(task.trivial_metrics(split, outputs), task.constant_answer(split, outputs))
        if isinstance(task, HasTrivialAnswer)
        else ConstantBaseline()
    )
    notes.trivial = dict(trivial.metrics)
    notes.evaluated_on = split
    notes.evaluation = EvaluationResult(
        metrics=metrics,
        baseline=before,
        few_shot=measured.few_shot,
        gates=check_gates(task.spec.evaluation.gates, metrics, before, task.spec.task, trivial.metrics),
        best=notes.evaluation.best,
    )
    notes.details = measured.details
    worth = compare_with_baselines(task.spec, notes.evaluation, split, trivial)
    if worth is not None:
        if notes.verdict is not None and not worth.has_learned:
            notes.verdict = diagnose_not_learned(notes.verdict, worth.remark)
        notes.evaluation = notes.evaluation.model_copy(update={"remark": worth.remark})
        if not worth.is_good:
            observer.warned(worth.remark)
    observer.measured(notes.evaluation, split)
