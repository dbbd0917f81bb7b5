"""Evaluation of base and tuned model on the held-out rows, and gates."""

from finetune_api.curves import Verdict
from finetune_api.outcome import Best, EvaluationResult
from finetune_trainer.evaluation.baseline_comparison import BaselineComparison, ConstantBaseline, compare_with_baselines
from finetune_trainer.evaluation.fit_diagnosis import diagnose_not_learned
from finetune_trainer.evaluation.gates import check_gates
from finetune_trainer.observer import Monitor, PassLimit, RunObserver
from finetune_trainer.run_record import FinalEvaluation
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.preparing import PreparedModel, evaluation_split
from finetune_trainer.tasks.final_evaluation import measure_all
from finetune_trainer.tasks.task import InferenceContext
from finetune_trainer.training.inference import Outputs


def score_baseline(ready: PreparedModel, observer: RunObserver, stop: StopToken) -> Outputs:
    """Outputs of the base model on the rows of the final evaluation, few-shot ones included if requested.

    They go with checkpoints: an attempt that resumes from one has them.
    """
    with ready.adapted.as_base_model(), ready.accelerator.autocast():
        outputs = infer_all(ready, "baseline", observer, stop)
        if ready.few_shot is None:
            return outputs
        with observer.working("examples", len(ready.few_shot.rows.lengths)) as advance:
            context = InferenceContext(ready.tokenizer, monitor=Monitor(advance, stop, PassLimit(observer.warned)))
            return outputs | ready.few_shot.infer(ready.adapted.model, context)


def infer_all(ready: PreparedModel, what: str, observer: RunObserver, stop: StopToken) -> Outputs:
    """Outputs of the current model on the rows of the final evaluation and on the retention rows.

    In the precision of training: base model, reference and tuned model are measured alike.
    """
    task = ready.task
    split, retention = evaluation_split(task), ready.retention
    rows = ready.rows[split]
    total = len(rows.lengths) + (len(retention.rows.lengths) if retention else 0)
    with observer.working(what, total) as advance, ready.accelerator.autocast():
        monitor = Monitor(advance, stop, PassLimit(observer.warned))
        outputs = task.infer(ready.adapted.model, split, rows, InferenceContext(ready.tokenizer, monitor=monitor))
        return outputs | (retention.infer(monitor) if retention else {})


def evaluate(
    ready: PreparedModel,
    baseline: Outputs | None,
    *,
    best: Best | None,
    verdict: Verdict | None,
    observer: RunObserver,
    stop: StopToken,
) -> FinalEvaluation:
    """Evaluate the tuned model on the held-out rows and check gates; `best` and `verdict` are from training."""
    task = ready.task
    split = evaluation_split(task)
    outputs = infer_all(ready, "evaluating", observer, stop)
    measured = measure_all(
        task, ready.tokens[split], ready.retention, split, after=outputs, before=baseline, few_shot=ready.few_shot
    )
    metrics, before = measured.metrics, measured.baseline
    trivial = ConstantBaseline(task.trivial_metrics(split, outputs), task.constant_answer(split, outputs))
    found = EvaluationResult(
        metrics=metrics,
        baseline=before,
        few_shot=measured.few_shot,
        gates=check_gates(task.spec.evaluation.gates, metrics, before, task.spec.task, trivial.metrics),
        best=best,
    )
    compared = compare_with_baselines(task.spec, found, split, trivial)
    if compared is not None:
        found = found.model_copy(update={"remark": compared.remark})
        if not compared.is_good:
            observer.warned(compared.remark)
    observer.measured(found, split)
    return FinalEvaluation(found, dict(trivial.metrics), split, measured.details, _in_view_of(verdict, compared))


def _in_view_of(verdict: Verdict | None, compared: BaselineComparison | None) -> Verdict | None:
    if verdict is None or compared is None or compared.has_learned:
        return verdict
    return diagnose_not_learned(verdict, compared.remark)
