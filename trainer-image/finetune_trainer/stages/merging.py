"""Merge stages: evaluate each source, merge their weights.

In memory are the base, one source at a time, and then one tensor of each; their weights wait on disk in FP32.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable
from finetune_api.merge import Merge
from finetune_api.report import MergedSource, MergeReport
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.methods.merge import adapt_sum, as_it_is
from finetune_trainer.models.combining import combine_into, needs_base, save_weights
from finetune_trainer.models.low_rank_sum import can_be_summed, sum_adapters
from finetune_trainer.models.sources import Source
from finetune_trainer.observer import RunObserver
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.measuring import infer_all
from finetune_trainer.stages.preparing import PreparedModel, evaluation_split
from finetune_trainer.tasks.final_evaluation import measure_all
from finetune_trainer.tasks.retention import retention_task_with
from finetune_trainer.training.state.rng import seed_everything

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_OF_THE_COPY = ("_name_or_path", "architectures", "transformers_version", "dtype")
_MEND = "merge results of one base and one kind of head"


@dataclass
class Merging:
    """State of a merge."""

    ready: PreparedModel
    """The base."""
    sources: list[Source]
    merge: Merge
    scratch: Path
    """A folder for the weights of the sources."""
    observer: RunObserver
    stop: StopToken
    measured: list[MergedSource] = field(default_factory=list)
    """What each source can do alone, as far as they were looked at."""

    def run(self) -> tuple[PreparedModel, MergeReport]:
        """Evaluate the sources on the rows of the final evaluation, and build the merged model.

        Takes the model in `ready` apart. Raises `ModelUnsuitable` for sources whose weights are not of the same names
        and shapes.
        """
        is_sum = can_be_summed(self.sources, self.merge)
        adapted = self._sum() if is_sum else self._combined()
        report = MergeReport(
            combination=self.merge.combination,
            density=self.merge.kept_share,
            scale=self.merge.scale,
            adapter=is_sum and not self.ready.task.spec.output.merge_adapter,
            sources=self.measured,
        )
        return _with(self.ready, adapted), report

    def _sum(self) -> Adapted:
        """The summed adapter over the base."""
        for source in self.sources:
            self._measure(source)
        folder = self.scratch / "sum"
        folder.mkdir()
        sum_adapters(self.sources, self.merge, folder)
        base: Any = self.ready.adapted.model
        return adapt_sum(base, self.ready.files, folder)

    def _combined(self) -> Adapted:
        """The model with merged weights, in place of the last source."""
        start = self.scratch / "base.safetensors" if needs_base(self.merge) else None
        if start is not None:
            save_weights(self.ready.adapted.model, start)
        files, model = list[Path](), None
        for index, source in enumerate(self.sources):
            model = self._measure(source, like=model)
            files.append(self.scratch / f"source-{index}.safetensors")
            save_weights(model, files[-1])
        if model is None:
            raise ValueError(self.sources)
        seed_everything(self.ready.task.spec.training.seed)
        with self.observer.working("merging", sum(1 for _ in model.parameters())) as advance:
            combine_into(model, start, files, self.merge, advance)
        return as_it_is(model)

    def _measure(self, source: Source, like: "PreTrainedModel | None" = None) -> "PreTrainedModel":
        """Load a source, whose weights must be `like` those of another, and record its metrics."""
        task, ready = self.ready.task, self.ready
        model = task.load(source.files, ready.tokenizer).to(ready.accelerator.device)
        if like is not None:
            check_like(like, model, self.sources[0], source)
        split = evaluation_split(task)
        one = _with(ready, as_it_is(model))
        what = f"source {len(self.measured) + 1} of {len(self.sources)}"
        outputs = infer_all(one, what, self.observer, self.stop)
        found = measure_all(task, ready.tokens[split], one.retention, split, after=outputs, before=None)
        manifest = source.result.manifest
        self.measured.append(
            MergedSource(
                uri=source.uri,
                job=manifest.job,
                method=source.settings.method,
                share=source.share,
                metrics=found.metrics,
            )
        )
        return model


def _with(ready: PreparedModel, adapted: Adapted) -> PreparedModel:
    """The same rows with another model, for the retention set too."""
    retention = retention_task_with(ready.task, ready.retention, ready.files, adapted) if ready.retention else None
    return replace(ready, adapted=adapted, retention=retention)


def check_like(one: "PreTrainedModel", other: "PreTrainedModel", first: Source, source: Source) -> None:
    """Raise `ModelUnsuitable` where two models differ in weight shapes or settings."""
    mine, theirs = ({name: tuple(weight.shape) for name, weight in model.named_parameters()} for model in (one, other))
    differing = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    if differing:
        message = f"{source.uri} and {first.uri} differ in the weight {differing[0]}: {_shape(theirs, differing[0])} "
        raise ModelUnsuitable(f"{message}and {_shape(mine, differing[0])}", where=source.where, hint=_MEND)
    settings = [model.config.to_dict() for model in (one, other)]
    others = [
        name
        for name in {**settings[0], **settings[1]}
        if name not in _OF_THE_COPY and settings[0].get(name) != settings[1].get(name)
    ]
    if others:
        message = f"{source.uri} and {first.uri} differ in their config.json: {', '.join(sorted(others)[:5])}"
        raise ModelUnsuitable(message, where=source.where, hint=_MEND)


def _shape(shapes: dict[str, tuple[int, ...]], name: str) -> str:
    return f"shape {list(shapes[name])}" if name in shapes else "not there"
