"""Metrics of a run in the Prometheus text format.

Every series has the labels `namespace` and `name` of its FineTuneJob, whatever the scrape adds, so that queries need
no configuration. Figures that are not known yet have no series.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.run_file import RunFile
from finetune_api.status import Phase
from finetune_trainer.pod.progress import RunProgress

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PHASES = (Phase.VALIDATING, Phase.STARTING, Phase.TRAINING, Phase.EVALUATING, Phase.EXPORTING)
_JOB = ("namespace", "name")


@dataclass(frozen=True, eq=False)  # a registry keeps collectors by identity
class Exposition(Collector):
    """Converts run progress into metrics at each scrape."""

    order: RunFile
    board: RunProgress

    def text(self) -> bytes:
        """The metrics in the Prometheus text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples."""
        yield self._info()
        yield self._phase()
        yield from self._training()
        yield self._figures()
        yield from self._counters()
        yield self._evaluation()
        yield from self._checkpoints()
        memory = gpu_memory()
        if memory is not None:
            yield self._gauge("finetune_gpu_memory_bytes", "GPU memory in use by tensors, in bytes.", memory)

    def _info(self) -> Metric:
        spec, job = self.order.spec, self.order.job
        labels = {"uid": job.uid, "task": spec.task, "method": spec.method.type, "model": spec.model.uri}
        family = GaugeMetricFamily("finetune_job_info", "What the pod runs; always 1.", labels=(*_JOB, *labels))
        family.add_metric((job.namespace, job.name, *labels.values()), 1)
        return family

    def _phase(self) -> Metric:
        job, now = self.order.job, self.board.live.phase
        family = GaugeMetricFamily("finetune_phase", "1 for the phase that the run is in.", labels=(*_JOB, "phase"))
        for phase in _PHASES:
            family.add_metric((job.namespace, job.name, phase), float(phase is now))
        return family

    def _training(self) -> Iterator[Metric]:
        progress = self.board.live.progress
        if progress is None:
            return
        figures = {
            "finetune_train_loss": ("Training loss of the last step.", progress.loss),
            "finetune_learning_rate": ("Learning rate of the last step.", progress.learning_rate),
            "finetune_gradient_norm": ("Norm of the last gradient, before clipping.", self.board.tally.gradient_norm),
            "finetune_step": ("Optimiser steps done.", progress.step),
            "finetune_total_steps": ("Optimiser steps planned.", progress.total_steps),
            "finetune_epoch": ("Passes over the training rows done.", progress.epoch),
            "finetune_samples_per_second": ("Rows trained on a second.", progress.samples_per_second),
            "finetune_tokens_per_second": ("Tokens trained on a second.", progress.tokens_per_second),
        }
        for name, (text, value) in figures.items():
            if value is not None:
                yield self._gauge(name, text, value)

    def _figures(self) -> Metric:
        job, text = self.order.job, "Further metrics of the last step, by name (PolicyOptimization: meanReward ...)."
        family = GaugeMetricFamily("finetune_train_metric", text, labels=(*_JOB, "metric"))
        for name, value in self.board.tally.figures.items():
            family.add_metric((job.namespace, job.name, name), value)
        return family

    def _counters(self) -> Iterator[Metric]:
        job, tally = self.order.job, self.board.tally
        for name, text, value in (
            ("finetune_tokens", "Tokens trained on, padding not counted.", tally.tokens),
            ("finetune_samples", "Rows trained on.", tally.samples),
        ):
            family = CounterMetricFamily(name, text, labels=_JOB)
            family.add_metric((job.namespace, job.name), value)
            yield family

    def _evaluation(self) -> Metric:
        job = self.order.job
        family = GaugeMetricFamily(
            "finetune_eval_metric",
            "Newest value of a metric on the rows of a split.",
            labels=(*_JOB, "metric", "split"),
        )
        measured, final = self.board.live.measured, self.board.measured_on
        found = {("validation", name): value for name, value in (measured.metrics if measured else {}).items()}
        if final is not None:
            found |= {(final[0], name): value for name, value in final[1].metrics.items()}
        for (split, name), value in found.items():
            family.add_metric((job.namespace, job.name, name, split), value)
        return family

    def _checkpoints(self) -> Iterator[Metric]:
        safe = self.board.safe
        if safe.checkpoints:
            text = "Optimiser step of the newest checkpoint that is committed."
            yield self._gauge("finetune_checkpoint_committed_step", text, safe.checkpoints[-1].step)
        if safe.upload is not None:
            text = "Time that the newest upload of a checkpoint took, from the copy in memory to its manifest."
            yield self._gauge("finetune_checkpoint_upload_seconds", text, safe.upload.seconds)
            yield self._gauge("finetune_checkpoint_bytes", "Size of the newest checkpoint.", safe.upload.size)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=_JOB)
        family.add_metric((self.order.job.namespace, self.order.job.name), value)
        return family


def gpu_memory() -> float | None:
    """Allocated bytes on this process's GPU; None without one, or before torch is loaded."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return None
    return float(cuda.memory_allocated())
