"""Retention set: metrics of another task on the same model, before and after training."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from finetune_api import tasks
from finetune_api.details import RetentionSet
from finetune_api.failures import ModelUnsuitable
from finetune_api.metrics import CATALOGUE, RETENTION
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_trainer.cache import cache_folder
from finetune_trainer.data import Prepared
from finetune_trainer.data.splits import RETENTION_SPLIT
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.job_prompts import check_chats
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.methods.adapted import Adapted, MakeRows, token_rows, whole_rows
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.observer import Monitor, no_progress
from finetune_trainer.tasks.causal_lm import CausalLM
from finetune_trainer.tasks.masked_lm import MaskedLM
from finetune_trainer.tasks.rebind_task import gate_metrics, rebind_task, with_metrics
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.training.inference import Outputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LANGUAGE: dict[tasks.Task, type[CausalLM] | type[MaskedLM]] = {
    tasks.Task.CAUSAL_LM: CausalLM,
    tasks.Task.MASKED_LM: MaskedLM,
}
_OF_LANGUAGE = frozenset({tasks.Task.PREFERENCE, tasks.Task.POLICY_OPTIMIZATION})
"""Tasks whose models are those of `CausalLM`, head and all."""
_WHERE = "spec.evaluation.retention.task"


@dataclass(frozen=True)
class RetentionTask:
    """The task on the retention set, and the model that runs it."""

    task: Task
    model: nn.Module
    tokens: Tokens
    rows: RowSource
    tokenizer: "PreTrainedTokenizerBase"

    def infer(self, monitor: Monitor) -> Outputs:
        """Outputs of the current model under prefixed names, beside those of the job's own task."""
        outputs = self.task.infer(
            self.model, RETENTION_SPLIT, self.rows, InferenceContext(self.tokenizer, monitor=monitor)
        )
        return {f"{RETENTION}{name}": values for name, values in outputs.items()}

    def measure(self, outputs: Outputs) -> dict[str, float]:
        """Metrics of the retention set, as `retention.<name>`, from prefixed outputs of `infer`."""
        own = {name.removeprefix(RETENTION): values for name, values in outputs.items() if name.startswith(RETENTION)}
        metrics = self.task.measure(RETENTION_SPLIT, own) if own else {}
        named = {*CATALOGUE[self.task.spec.task], *(gate.metric for gate in self.task.spec.evaluation.gates)}
        return {f"{RETENTION}{name}": value for name, value in metrics.items() if name in named}

    @property
    def described(self) -> RetentionSet:
        """Description of the retention set for the report."""
        data = self.task.data.report
        rows = data.splits[RETENTION_SPLIT].rows
        return RetentionSet(task=self.task.spec.task, files=data.files, rows=rows, bad_rows=data.bad_rows)


def without_retention(outputs: Outputs) -> Outputs:
    """Outputs of the job's own task."""
    return {name: values for name, values in outputs.items() if not name.startswith(RETENTION)}


def retention_task_of(
    task: Task, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", adapted: Adapted, max_length: int
) -> RetentionTask | None:
    """The retention task of a job, or None without one.

    Raises what loading and tokenising raise; `ModelUnsuitable` where the base has no head for that task.
    """
    retention = _checked_task_of(task, tokenizer)
    if retention is None:
        return None
    model, make_rows = _shown_by(task, retention, files, tokenizer, adapted)
    tokens = _tokens_of(retention, tokenizer, max_length)
    retention = retention.with_tokens({RETENTION_SPLIT: tokens}, tokenizer, max_length)
    return RetentionTask(retention, model, tokens, whole_rows(make_rows, tokens, no_progress), tokenizer)


def check_retention(
    task: Task, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", adapted: Adapted, max_length: int
) -> None:
    """Check retention task and model on the meta device. Raises as `retention_task_of` does."""
    retention = _checked_task_of(task, tokenizer)
    if retention is not None:
        _shown_by(task, retention, files, tokenizer, adapted, how=ModelLoading(on_meta=True))
        _tokens_of(retention, tokenizer, max_length)


def _checked_task_of(task: Task, tokenizer: "PreTrainedTokenizerBase") -> Task | None:
    """The retention task on the rows that its chat template can render."""
    if task.data.retention is None:
        return None
    retention = _task_of(task, task.data.retention)
    return replace(retention, data=check_chats(retention.data, retention.spec, tokenizer))


def _tokens_of(retention: Task, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Tokens:
    return retention.tokenise(RETENTION_SPLIT, tokenizer, max_length, cache_folder("tokens"), no_progress)


def retention_task_with(task: Task, retention: RetentionTask, files: ModelFiles, adapted: Adapted) -> RetentionTask:
    """The retention task on the same rows with another model. Raises as `retention_task_of` does."""
    return replace(retention, model=_shown_by(task, retention.task, files, retention.tokenizer, adapted)[0])


def _task_of(task: Task, data: Prepared) -> Task:
    """The job's task on the retention set, or causal language modelling on it."""
    wanted, also = task.spec.evaluation.retention.task or task.spec.task, gate_metrics(task.spec, RETENTION)
    if wanted is task.spec.task:
        return rebind_task(task, data, also)
    return _LANGUAGE[wanted](_language_spec(task.spec, wanted, also), data)


def _language_spec(spec: Spec, wanted: tasks.Task, also: list[str]) -> Spec:
    """Spec of a language modelling job, with a method that keeps the head."""
    method = spec.method.model_copy(update={"type": MethodType.LORA})
    return with_metrics(spec, also).model_copy(update={"task": wanted, "method": method})


def _shown_by(
    task: Task,
    retention: Task,
    files: ModelFiles,
    tokenizer: "PreTrainedTokenizerBase",
    adapted: Adapted,
    *,
    how: ModelLoading = FP32,
) -> tuple[Any, MakeRows]:
    """The model of the retention task, and the converter of rows to its inputs."""
    if retention.spec.task is task.spec.task or task.spec.task in _OF_LANGUAGE:
        return adapted.model, adapted.rows
    model = _with_own_head(retention, files, tokenizer, adapted, how)
    return model, token_rows(model.config)


def _with_own_head(
    retention: Task, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", adapted: Adapted, how: ModelLoading
) -> Any:
    """A language model of the base's head and the trained body, whose changes it shares."""
    try:
        model: Any = retention.load(files, tokenizer, how)
    except ModelUnsuitable as error:
        hint = "use a base that was made for this task, or remove evaluation.retention"
        raise ModelUnsuitable(error.problems[0].message, where=_WHERE, hint=hint) from error
    trained, name = _inner(adapted.model), model.base_model_prefix
    body = getattr(trained, name, None)
    if type(body) is not type(getattr(model, name)):
        message = f"{files.uri}: the head for {retention.spec.task} does not fit on the body that is trained"
        raise ModelUnsuitable(message, where=_WHERE, hint="remove evaluation.retention.task")
    if not how.on_meta:
        model.to(trained.device)
    setattr(model, name, body)
    return model


def _inner(model: Any) -> Any:
    """The transformers model inside a PEFT model."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
