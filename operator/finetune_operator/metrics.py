"""Prometheus metrics of the operator, and of the jobs, which outlive their pods."""

from collections import Counter as Counts
from collections.abc import Iterable, Iterator
from datetime import datetime
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.failures import catalogue
from finetune_api.status import Phase
from finetune_operator.lifecycle.context import TERMINAL
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE
from finetune_operator.records import FineTuneJobRecord, Json
from finetune_operator.store import Kind, Store

JOBS = 1000
"""Jobs that have series of their own; the newest, so that a fleet can't drown Prometheus."""
KEPT_SECONDS = 900
"""How long a job's series stay after its end."""
_METRICS_OF_A_JOB = 16
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DURATIONS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200)
_REASONS = frozenset({"Succeeded", "GateFailed", "Preempted", "Stopped", "Fenced", "Suspended", "Lost", *catalogue()})
_FIGURES = {
    "progress_ratio": ("percent", 0.01, "Share of the steps done"),
    "step": ("step", 1, "Optimiser steps done"),
    "total_steps": ("totalSteps", 1, "Optimiser steps planned"),
    "eta_seconds": ("etaSeconds", 1, "Seconds left at the present rate"),
    "loss": ("loss", 1, "Mean training loss since the last report"),
    "learning_rate": ("learningRate", 1, "Learning rate of the last step"),
    "tokens_per_second": ("tokensPerSecond", 1, "Tokens per second, padding not counted"),
    "samples_per_second": ("samplesPerSecond", 1, "Rows per second"),
}
"""Series of a job by what follows `finetune_job_`: the field of `status.progress`, a factor, the help text."""


class QueueMetrics:
    """Metrics of one work queue, under client-go's names."""

    def __init__(self, metrics: "Metrics", name: str) -> None:
        self._depth = metrics.depth.labels(name)
        self._adds = metrics.adds.labels(name)
        self._waits = metrics.waits.labels(name)
        self._works = metrics.works.labels(name)
        self._retries = metrics.retries.labels(name)

    def added(self, depth: int) -> None:
        """A key was queued."""
        self._adds.inc()
        self._depth.set(depth)

    def taken(self, depth: int, waited: float) -> None:
        """A worker took a key that was queued for this many seconds."""
        self._depth.set(depth)
        self._waits.observe(waited)

    def done(self, worked: float) -> None:
        """A worker spent this many seconds on a key."""
        self._works.observe(worked)

    def retried(self) -> None:
        """A key was queued again after a failure."""
        self._retries.inc()


class Metrics:
    """All metrics of the operator in its own registry."""

    def __init__(self, store: Store) -> None:
        self.registry = registry = CollectorRegistry()
        queue = ["name"]
        self.depth = Gauge("workqueue_depth", "Keys in line", queue, registry=registry)
        self.adds = Counter("workqueue_adds_total", "Keys that got in line", queue, registry=registry)
        self.waits = Histogram(
            "workqueue_queue_duration_seconds", "Time in line", queue, registry=registry, buckets=_SECONDS
        )
        self.works = Histogram(
            "workqueue_work_duration_seconds", "Time at a key", queue, registry=registry, buckets=_SECONDS
        )
        self.retries = Counter("workqueue_retries_total", "Keys that came again", queue, registry=registry)
        self.longest = Gauge(
            "workqueue_longest_running_processor_seconds", "How long the slowest worker is at it", queue,
            registry=registry,
        )  # fmt: skip
        self._reconciles = Counter("finetune_reconciles_total", "Reconciles by result", ["result"], registry=registry)
        self._requests = Counter(
            "finetune_api_requests_total", "Requests to the API server", ["verb", "resource", "code"], registry=registry
        )
        self._polls = Counter("finetune_progress_polls_total", "Polls by result", ["result"], registry=registry)
        self._attempts = Counter(
            "finetune_job_attempts_total", "Attempts that ended, by how", ["reason"], registry=registry
        )
        self._durations = Histogram(
            "finetune_job_duration_seconds", "Time from a job's creation to its end", ["phase"], registry=registry,
            buckets=_DURATIONS,
        )  # fmt: skip
        self.lag = Gauge("finetune_event_loop_lag_seconds", "How late the event loop is", registry=registry)
        self.statuses_pending = Gauge(
            "finetune_statuses_waiting", "Jobs whose newest state waits for its turn to be written", registry=registry
        )
        self.left_out = Gauge(
            "finetune_namespaces_left_out",
            "Namespaces of the settings that are gone, or have no Role",
            registry=registry,
        )
        self.profile_refused = Gauge(
            "finetune_profile_refused", "1 for a profile whose Jobs the API server took for invalid at the start",
            ["profile"], registry=registry,
        )  # fmt: skip
        self.profile_denied = Gauge(
            "finetune_profile_denied", "1 for a profile whose Jobs admission denied in a namespace at the start",
            ["profile", "namespace"], registry=registry,
        )  # fmt: skip
        self._last_event = dict.fromkeys(Kind, monotonic())
        age = Gauge(
            "finetune_watch_last_event_seconds", "Time since a watch last received an event or was restarted", ["kind"],
            registry=registry,
        )  # fmt: skip
        for kind in Kind:
            age.labels(kind.value).set_function(lambda kind=kind: monotonic() - self._last_event[kind])  # type: ignore[misc]
        ProcessCollector(registry=registry)
        registry.register(JobCollector(store))

    def queue(self, name: str) -> QueueMetrics:
        """The metrics of one queue."""
        return QueueMetrics(self, name)

    def reconciled(self, result: str) -> None:
        """Count a reconcile: done, conflict, gone, unavailable, refused or error."""
        self._reconciles.labels(result).inc()

    def requested(self, verb: str, resource: str, code: str) -> None:
        """Count a request to the API server."""
        self._requests.labels(verb, resource, code).inc()

    def polled(self, result: str) -> None:
        """Count a poll of a trainer: ok, unreachable or bad."""
        self._polls.labels(result).inc()

    def watched(self, kind: Kind) -> None:
        """Record an event or start of a watch."""
        self._last_event[kind] = monotonic()

    def transition(self, old: Json, new: Json) -> None:
        """Count attempts and jobs that ended between two statuses."""
        before = {attempt["number"] for attempt in old.get("attempts", ()) if attempt.get("reason")}
        for attempt in new.get("attempts", ()):
            if attempt.get("reason") and attempt["number"] not in before:
                self._attempts.labels(_known(attempt["reason"])).inc()
        start, end = new.get("startTime"), new.get("completionTime")
        if end and not old.get("completionTime"):
            seconds = (_time(end) - _time(start or end)).total_seconds()
            self._durations.labels(new["phase"]).observe(seconds)


class JobCollector(Collector):
    """Collector of job metrics, computed from the store at each scrape."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Job counts by phase, and series of the newest jobs."""
        finetune_jobs = list(self._store.finetune_jobs)
        fleet = GaugeMetricFamily("finetune_jobs", "Jobs by phase", labels=["namespace", "phase"])
        for (namespace, phase), count in Counts(
            (finetune_job.namespace, _phase(finetune_job)) for finetune_job in finetune_jobs
        ).items():
            fleet.add_metric([namespace, phase], count)
        yield fleet
        yield from self._jobs(_shown(finetune_jobs))

    def _jobs(self, finetune_jobs: list[FineTuneJobRecord]) -> Iterable[Metric]:
        labels = ["namespace", "name"]
        phases = GaugeMetricFamily("finetune_job_phase", "1 for the phase that a job is in", labels=[*labels, "phase"])
        scores = GaugeMetricFamily("finetune_job_eval_metric", "Newest evaluation", labels=[*labels, "metric", "split"])
        saved = GaugeMetricFamily(
            "finetune_job_checkpoint_step", "Newest step in a committed checkpoint; 0 without one", labels=labels
        )
        silent = GaugeMetricFamily(
            "finetune_job_trainer_unreachable", "1 while its pod runs but does not report its progress", labels=labels
        )
        progress_fields = {
            name: GaugeMetricFamily(f"finetune_job_{name}", text, labels=labels)
            for name, (_field, _factor, text) in _FIGURES.items()
        }
        for finetune_job in finetune_jobs:
            job = [finetune_job.namespace, finetune_job.name]
            phases.add_metric([*job, _phase(finetune_job)], 1)
            if is_unreachable(finetune_job):
                silent.add_metric(job, 1)
            progress = finetune_job.status.get("progress") or {}
            for name, (field, factor, _text) in _FIGURES.items():
                if progress.get(field) is not None:
                    progress_fields[name].add_metric(job, progress[field] * factor)
            if progress:
                saved.add_metric(job, _saved_step(finetune_job))
            for split, metric, value in self._scores(finetune_job):
                scores.add_metric([*job, metric, split], value)
        return [phases, scores, saved, silent, *progress_fields.values()]

    def _scores(self, finetune_job: FineTuneJobRecord) -> Iterator[tuple[str, str, float]]:
        live = self._store.live.get(finetune_job.uid)
        measured = live.live.measured.metrics if live is not None and live.live.measured else {}
        tested = (finetune_job.status.get("evaluation") or {}).get("metrics", {})
        for split, metrics in (("validation", measured), ("test", tested)):
            overall = [(name, value) for name, value in metrics.items() if "." not in name]
            yield from ((split, name, value) for name, value in overall[:_METRICS_OF_A_JOB])


def is_unreachable(finetune_job: FineTuneJobRecord) -> bool:
    """Whether its status says that its trainer is unreachable."""
    conditions = finetune_job.status.get("conditions") or ()
    return any(each.get("reason") == UNREACHABLE and each.get("type") == "Progressing" for each in conditions)


def _known(reason: str) -> str:
    """A catalogue reason; unknown ones of trainers are replaced to bound the number of series."""
    return reason if reason in _REASONS else "Other"


def _saved_step(finetune_job: FineTuneJobRecord) -> int:
    return max((int(info["step"]) for info in finetune_job.status.get("checkpoints") or ()), default=0)


def _shown(finetune_jobs: list[FineTuneJobRecord]) -> list[FineTuneJobRecord]:
    now = datetime.now().astimezone()
    recent = [
        finetune_job
        for finetune_job in finetune_jobs
        if _phase(finetune_job) not in TERMINAL or _ended_within(finetune_job, now, KEPT_SECONDS)
    ]
    return sorted(recent, key=lambda finetune_job: finetune_job.created, reverse=True)[:JOBS]


def _ended_within(finetune_job: FineTuneJobRecord, now: datetime, seconds: float) -> bool:
    end = finetune_job.status.get("completionTime")
    return end is not None and (now - _time(end)).total_seconds() < seconds


def _phase(finetune_job: FineTuneJobRecord) -> str:
    return str(finetune_job.status.get("phase") or Phase.PENDING)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
