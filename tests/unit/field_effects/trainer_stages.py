"""What the trainer makes of a spec, stage by stage: rows, tokens, a training, and a whole run; never the settings."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from effect_jobs import Json, manifest
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import PreTrainedModel

from finetune_api.job import FineTuneJob
from finetune_api.merge import Merge
from finetune_api.method import Method
from finetune_api.metrics import metric_named
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.data.prepared import Examples, Prepared
from finetune_trainer.data.reading.input_files import read_input
from finetune_trainer.data.reading.rows import Row
from finetune_trainer.data.rows_to_predict import input_of
from finetune_trainer.methods.qlora import adapt
from finetune_trainer.models.combining import combine
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.output.lineage import build_lineage
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.run import run_job
from finetune_trainer.run_record import Timings
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import check_rows_of, merged_spec, read_rows, rows_in_template
from finetune_trainer.stages.preparing import (
    PreparedModel,
    prepare_model,
    take_hardware,
    tokenise_rows,
    with_evaluation_rows,
    with_reference,
)
from finetune_trainer.stages.tokens import tokenise_splits
from finetune_trainer.stages.training import train
from finetune_trainer.storage import Site
from finetune_trainer.training.checkpointing import CheckpointCallback
from finetune_trainer.training.state.best_weights import BestWeights

_RUNS = count()
_NOT_COMPARED = ("report/", "claims/", "MANIFEST.json", "README.md")
"""Files that repeat settings, or differ from run to run."""


class Unheard(PlainObserver):
    """An observer whose lines nobody reads."""

    def _write(self, line: str) -> None:
        pass


def _job(spec: Json) -> FineTuneJob:
    return FineTuneJob.model_validate(manifest(spec))


def rows(spec: Json, folder: Path) -> Any:
    """The rows of all splits, as they are learned and measured."""
    prepared = _rows_of(_job(spec), Site(folder))
    both = [prepared, *filter(None, [prepared.retention])]
    return [{name: _cells(part) for name, part in one.splits.items()} for one in both], prepared.labels.names


def _rows_of(job: FineTuneJob, site: Site) -> Prepared:
    return check_rows_of(job.spec, read_rows(job.spec, site, Unheard()), site).task.data


def _cells(part: Examples) -> Any:
    return [part.texts, part.pairs, part.labels, part.words, part.turns, part.groups]


def tokens(spec: Json, folder: Path) -> Any:
    """Token ids and labels of all splits."""
    job, site = _job(spec), Site(folder)
    base = merged_spec(job.spec, site, weights=False).open_base(site)
    checked = check_rows_of(job.spec, read_rows(job.spec, site, Unheard()), site)
    task, resolved = rows_in_template(checked.task, base)
    made = tokenise_splits(task, base.tokenizer, resolved.max_length, Unheard())
    parts = [part for one in made.values() for part in (one, one.outputs) if part is not None]
    return [(one.ids.tolist(), one.offsets.tolist(), _listed(one.labels)) for one in parts]


def _listed(array: Any) -> Any:
    return None if array is None else array.tolist()


def training(spec: Json, folder: Path) -> Any:
    """A training: which weights it changes into what, its curves, and how often modules were called meanwhile."""
    job, site = _job(spec), Site(folder)
    ready = _prepared(job, site)
    output = OutputFolder(job.spec.output, site, "job", f"training{next(_RUNS)}")
    output.claim()
    best = BestWeights(folder)
    retention = Retention(job.spec.checkpoints, metric_named(job.spec.task, job.spec.evaluation.metric))
    store = CheckpointStore(output, folder / f"kept{next(_RUNS)}", retention, Unheard().warned)
    checkpoints = CheckpointCallback(store, best, str, Unheard())
    lineage = build_lineage(job.spec, ready.files, ready.task.data.digest, [])
    with checkpoints.settled(), _calls() as calls:
        checkpoints.find_checkpoint(lineage)
        summary = train(ready, checkpoints, Unheard(), StopToken())
    points = [point.model_dump(exclude={"seconds"}) for point in summary.curves]
    return _weights(ready.adapted.model), points, summary.evaluation, calls


def _prepared(job: FineTuneJob, site: Site) -> PreparedModel:
    base = merged_spec(job.spec, site, weights=True).open_base(site)
    task = check_rows_of(job.spec, read_rows(job.spec, site, Unheard()), site).task
    return _with_model(task, base, job, site)


def _with_model(task: Any, base: BaseModel, job: FineTuneJob, site: Site) -> PreparedModel:
    hardware, tokenised = take_hardware(job.spec), tokenise_rows(task, base, Unheard())
    timings = Timings()
    ready = prepare_model(tokenised, base, site, hardware=hardware, timings=timings, observer=Unheard())
    return with_reference(with_evaluation_rows(ready, base, Unheard()), timings, Unheard(), StopToken())


@contextmanager
def _calls() -> Iterator[Counter[str]]:
    """How often modules of each class are called with gradients: activations that are computed again count twice."""
    found = Counter[str]()

    def note(module: torch.nn.Module, _inputs: Any) -> None:
        if torch.is_grad_enabled():
            found[type(module).__name__] += 1

    handle = register_module_forward_pre_hook(note)
    try:
        yield found
    finally:
        handle.remove()


def _weights(model: torch.nn.Module) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and digest of each weight that is trained."""
    trained = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    return {name: (tuple(weight.shape), _digest(weight.numpy().tobytes())) for name, weight in trained.items()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def figures(spec: Json, folder: Path) -> Any:
    """All that a whole run measures: metrics, gates, details."""
    report = _run(spec, folder).report
    return report.evaluation, report.details, report.outcome


def files(spec: Json, folder: Path) -> Any:
    """Digests of the files that a whole run publishes, but for those that repeat settings."""
    result = _run(spec, folder)
    out = Path(result.artifacts.model.removeprefix("file://")).parent
    names = [str(file.relative_to(out)) for file in sorted(out.rglob("*")) if file.is_file()]
    return {name: _digest((out / name).read_bytes()) for name in names if not name.startswith(_NOT_COMPARED)}


def _run(spec: Json, folder: Path) -> Any:
    result = run_job(_job(spec), Site(folder), f"run{next(_RUNS)}", Unheard())
    if result.failure is not None:
        raise result.failure
    return result


def asked(spec: Json, folder: Path) -> Any:
    """The rows that a prediction is asked for."""
    job = _job(spec)
    found = read_input(input_of(job.spec), Site(folder), "text")
    checked = check_rows_of(job.spec, read_rows(job.spec, Site(folder), Unheard()), Site(folder))
    return checked.to_predict, [row.values if isinstance(row, Row) else row.reason for row in found]


def merged(block: Json) -> Any:
    """A weight that is merged of two by the settings of `method.merge`."""
    sources = [{"uri": "s3://a/b"}, {"uri": "s3://a/c"}]
    torch.manual_seed(3)
    base, first, second = torch.zeros(8), torch.linspace(-1, 1, 8), torch.linspace(2, -1, 8)
    return combine(base, [first, second], Merge.model_validate({"sources": sources, **block})).tolist()


def qlora(block: Json, files: ModelFiles, model: PreTrainedModel) -> Any:
    """The adapter that `QLoRA` makes by its settings, with its learning rates; of the base, one module is in 4 bits."""
    from bitsandbytes.nn import Linear4bit

    layer = model.bert.encoder.layer[0].intermediate
    layer.dense = Linear4bit(layer.dense.in_features, layer.dense.out_features)
    torch.manual_seed(3)
    adapted = adapt(model, files, Method.model_validate({"type": "QLoRA", "qlora": block}), files.folder)
    scales = [getattr(module, "scaling", None) for module in adapted.model.modules()]
    weights = _weights(adapted.model)
    return weights, {name: adapted.lr_factor(name) for name in weights}, scales, str(adapted.model)


STAGES: dict[str, Callable[[Json, Path], Any]] = {
    "rows": rows, "tokens": tokens, "model": training, "plan": training, "steps": training,
    "figures": figures, "files": files, "asked": asked,
}  # fmt: skip
"""What makes each part of a job that the table names."""
