"""Checks of a job before a model is loaded: base model, rows, and both together."""

from dataclasses import dataclass, replace

from finetune_api.data_report import DataReport
from finetune_api.resolved import Resolved
from finetune_api.spec import Spec
from finetune_trainer.agreement import check_agreement
from finetune_trainer.checkpoints.other_run import OtherRun
from finetune_trainer.data import Prepared
from finetune_trainer.data.retention_data import prepare_job
from finetune_trainer.data.rows_to_predict import check_rows
from finetune_trainer.data.tokenising.job_prompts import check_chats
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.models.reward_model import check_policy_reward_model
from finetune_trainer.models.sources import Source
from finetune_trainer.observer import RunObserver
from finetune_trainer.plan import resolve_values
from finetune_trainer.run_record import Timings
from finetune_trainer.stages.base_model import BaseModel, open_base
from finetune_trainer.stages.tokens import highest_token_id, report_with_tokens, sample_evenly, tokenise_splits
from finetune_trainer.storage import Site
from finetune_trainer.tasks import TASKS
from finetune_trainer.tasks.measurable import check_measurable
from finetune_trainer.tasks.merged import as_its_sources, sources_of
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.precision import choose_precision


@dataclass(frozen=True)
class MergedSpec:
    """The spec completed by the merged results; unchanged without a merge."""

    spec: Spec
    sources: list[Source]

    def open_base(self, site: Site) -> BaseModel:
        """The base model, with the tokenizer of the merged results.

        Raises as `open_base` and `check_policy_reward_model` do.
        """
        base = open_base(self.spec, site, self.sources[0].tokenizer if self.sources else None)
        policy = self.spec.training.policy
        if policy is not None and not policy.reward.is_checked:
            check_policy_reward_model(policy.reward, site)
        return base


@dataclass(frozen=True)
class CheckedRows:
    """The task on rows that passed the checks, and the number of rows to predict."""

    task: Task
    to_predict: int
    """Rows that the job asks about."""


def merged_spec(spec: Spec, site: Site, *, weights: bool) -> MergedSpec:
    """Download the results that a job merges, with or without weights. Raises as `fetch_sources` does."""
    sources = sources_of(spec, site, weights=weights)
    return MergedSpec(as_its_sources(spec, sources), sources)


def read_rows(spec: Spec, site: Site, observer: RunObserver) -> Prepared:
    """Read the rows, with the data report. Raises what `prepare` raises."""
    return prepare_job(spec, site, observer.said)


def check_rows_of(spec: Spec, data: Prepared, site: Site) -> CheckedRows:
    """Check the job against its rows. Raises `SpecInvalid`."""
    check_agreement(spec, data.report)
    task = TASKS[spec.task](spec, data)
    check_measurable(task)
    return CheckedRows(task, check_rows(spec, data.report.columns, site))


def check_precision(spec: Spec) -> None:
    """Raise `SpecInvalid` for a precision that needs a GPU, where the job requests none."""
    if not spec.compute.gpus_per_node:
        choose_precision(spec.training.precision)


def rows_in_template(task: Task, base: BaseModel, other: OtherRun | None = None) -> tuple[Task, Resolved]:
    """The task on rows that its chat template can render, and the resolved values.

    Raises `SpecInvalid` where the run to resume, if any is given, had other rows.
    """
    task = replace(task, data=check_chats(task.data, task.spec, base.tokenizer))
    resolved = resolve_values(task.spec, base.limit, task.data.report.training_rows)
    if other is not None:
        other.check_data(task.data.digest)
    return task, resolved


@dataclass(frozen=True)
class SampledTokens:
    """Tokens of all rows, or of every n-th for very many."""

    task: Task
    """The task on these rows."""
    tokens: dict[str, Tokens]
    """By split."""
    every: int
    """That n; 1 for all rows."""
    report: DataReport
    """The data report with what tokens tell."""


def check_tokens(
    task: Task, base: BaseModel, resolved: Resolved, timings: Timings, observer: RunObserver
) -> SampledTokens:
    """Tokenise all rows, or every n-th of very many, as a run would.

    Raises what says that rows, tokenizer and limits don't go together.
    """
    part, every = sample_evenly(task)
    with timings.timed("tokens"):
        tokens = tokenise_splits(part, base.tokenizer, resolved.max_length, observer)
    base.check_ids(highest_token_id(tokens))
    part = part.with_tokens(tokens, base.tokenizer, resolved.max_length)
    report = report_with_tokens(part, tokens, base.tokenizer, resolved.max_length, every)
    return SampledTokens(part, tokens, every, report)
