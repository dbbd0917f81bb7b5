"""What the dashboard shows. Each panel answers one question; its queries are by legend."""

from dataclasses import dataclass

_JOB = '{namespace="$namespace", name="$job"}'
_OVERALL = '{namespace="$namespace", name="$job", metric!~"evalLoss|.+[.].+"}'
_QUEUE = '{name="finetunejobs"}'
_LOSS = '{namespace="$namespace", name="$job", metric="evalLoss", split="validation"}'
_PHASES = "(max by (namespace, name, phase) (finetune_job_phase) == 1)"
_PROGRESS = "max by (namespace, name) (finetune_job_progress_ratio)"
_RATE = "[$__rate_interval]"


def _both(trainer: str, operator: str) -> str:
    """The trainer's own series, and where it isn't scraped the operator's."""
    return f"max by (name) ({trainer}{_JOB}) or max by (name) ({operator}{_JOB})"


def _quantiles(histogram: str) -> dict[str, str]:
    buckets = f"sum by (le) (rate({histogram}_bucket{_QUEUE}{_RATE}))"
    return {"median": f"histogram_quantile(0.5, {buckets})", "p99": f"histogram_quantile(0.99, {buckets})"}


@dataclass(frozen=True)
class Panel:
    """One panel: expressions by legend."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    width: int = 8
    height: int = 8
    kind: str = "timeseries"
    description: str = ""
    stacked: bool = False
    shows_names: bool = False


_ONE_JOB = (
    Panel(
        "Phase",
        {"{{phase}}": f"max by (phase) (finetune_job_phase{_JOB}) == 1"},
        width=4,
        height=4,
        kind="stat",
        shows_names=True,
    ),
    Panel("Progress", {"": f"max(finetune_job_progress_ratio{_JOB})"}, "percentunit", 4, 4, "stat"),
    Panel("Time left", {"": f"max(finetune_job_eta_seconds{_JOB})"}, "s", 4, 4, "stat"),
    Panel(
        "Newest metrics",
        {"{{metric}} ({{split}})": f"max by (metric, split) (finetune_job_eval_metric{_OVERALL})"},
        width=12,
        height=4,
        kind="stat",
        description="Of the validation rows, and at the end of the test rows.",
    ),
    Panel(
        "Loss",
        {
            "training": _both("finetune_train_loss", "finetune_job_loss"),
            "validation": f"max by (name) (finetune_eval_metric{_LOSS})",
        },
        width=12,
        description="Validation loss that rises while training loss falls is overfitting.",
    ),
    Panel(
        "Metrics",
        {"{{metric}} ({{split}})": f"max by (metric, split) (finetune_eval_metric{_OVERALL})"},
        width=12,
        description="Overall metrics; those of single classes are in the report.",
    ),
    Panel(
        "Steps",
        {
            "done": _both("finetune_step", "finetune_job_step"),
            "planned": _both("finetune_total_steps", "finetune_job_total_steps"),
        },
    ),
    Panel(
        "Steps not yet in a checkpoint",
        {"steps": f"max by (name) (finetune_job_step{_JOB}) - max by (name) (finetune_job_checkpoint_step{_JOB})"},
        description="What would be lost if the pod were gone now.",
    ),
    Panel(
        "Rows per second",
        {"rows": f"sum(rate(finetune_samples_total{_JOB}{_RATE}))"},
        description="Measured over the scrape interval, pauses for evaluation included.",
    ),
    Panel(
        "Tokens per second",
        {"tokens": f"sum(rate(finetune_tokens_total{_JOB}{_RATE}))"},
        description="Padding not counted.",
    ),
    Panel("Learning rate", {"learning rate": _both("finetune_learning_rate", "finetune_job_learning_rate")}),
    Panel("Gradient norm", {"before clipping": f"max by (name) (finetune_gradient_norm{_JOB})"}),
    Panel(
        "GPU memory",
        {"tensors": f"max by (name) (finetune_gpu_memory_bytes{_JOB}) or 0 * max by (name) (finetune_step{_JOB})"},
        "bytes",
        description="0 on a CPU.",
    ),
)

_FLEET = (
    Panel("Jobs by phase", {"{{phase}}": "sum by (phase) (finetune_jobs)"}, width=12, stacked=True),
    Panel("Jobs by namespace", {"{{namespace}}": "sum by (namespace) (finetune_jobs)"}, width=12, stacked=True),
    Panel(
        "Jobs now",
        {
            "progress": f"{_PHASES} * on (namespace, name) group_left () {_PROGRESS} or 0 * {_PHASES}",
        },
        "percentunit",
        width=12,
        kind="table",
    ),
    Panel(
        "Attempts that ended",
        {"{{reason}}": "sum by (reason) (finetune_job_attempts_total)"},
        width=6,
        description="Since the operator's start, by how they ended.",
    ),
    Panel(
        "Time from start to end",
        {
            "half of the jobs": "histogram_quantile(0.5, sum by (le) (finetune_job_duration_seconds_bucket))",
            "95 % of the jobs": "histogram_quantile(0.95, sum by (le) (finetune_job_duration_seconds_bucket))",
        },
        "s",
        width=6,
        description="Since the operator's start.",
    ),
)

_OPERATOR = (
    Panel(
        "Reconcile time",
        _quantiles("workqueue_work_duration_seconds"),
        "s",
    ),
    Panel(
        "Time in the queue",
        _quantiles("workqueue_queue_duration_seconds"),
        "s",
    ),
    Panel("Queue depth", {"jobs in line": f"max(workqueue_depth{_QUEUE})"}),
    Panel("API requests by code", {"{{code}}": f"sum by (code) (rate(finetune_api_requests_total{_RATE}))"}, "reqps"),
    Panel(
        "API requests by kind",
        {"{{verb}} {{resource}}": f"sum by (verb, resource) (rate(finetune_api_requests_total{_RATE}))"},
        "reqps",
    ),
    Panel("Reconciles by result", {"{{result}}": f"sum by (result) (rate(finetune_reconciles_total{_RATE}))"}, "ops"),
    Panel(
        "Watch age",
        {"{{kind}}": "max by (kind) (finetune_watch_last_event_seconds)"},
        "s",
        width=6,
        description="Since a watch last received an event or was restarted, as it is every few minutes.",
    ),
    Panel(
        "Progress polls",
        {"{{result}}": f"sum by (result) (rate(finetune_progress_polls_total{_RATE}))"},
        "ops",
        width=6,
    ),
    Panel(
        "Memory",
        {"resident": "process_resident_memory_bytes and on (instance) finetune_event_loop_lag_seconds"},
        "bytes",
        width=6,
    ),
    Panel(
        "CPU and lateness",
        {
            "CPU cores": f"rate(process_cpu_seconds_total{_RATE}) and on (instance) finetune_event_loop_lag_seconds",
            "event loop, seconds late": "max(finetune_event_loop_lag_seconds)",
        },
        width=6,
    ),
)

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Job $namespace/$job", _ONE_JOB),
    ("All jobs", _FLEET),
    ("Operator", _OPERATOR),
)
