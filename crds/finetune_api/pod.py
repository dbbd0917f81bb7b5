"""Paths and annotations of a trainer pod, shared by operator and trainer.

Nothing else tells a pod what to do: no flags, no variables, no token for the API server.
"""

from pathlib import PurePosixPath

RUN_FILE = PurePosixPath("/etc/finetune/job/run.json")
"""The run file (`run_file.RunFile`), mounted from the pod's own annotation by the downward API."""

RUN_ANNOTATION = "finetune.dev/run"
"""Annotation of the pod that holds the run file."""

WRITER_ANNOTATION = "finetune.dev/operator-version"
"""Annotation of the pod with the version of the operator that wrote the run file. It stands beside that file, since a
trainer refuses what it does not know in it."""

WRITER = PurePosixPath("/etc/finetune/job/operator-version")
"""The pod's own copy of that annotation, by the downward API; missing where an older operator wrote it."""

CHECKPOINT_ANNOTATION = "finetune.dev/checkpoint"
"""Annotation of a FineTuneJob that asks for a checkpoint now, by any new text; the operator copies it to the pod."""

CHECKPOINT_REQUEST = PurePosixPath("/etc/finetune/job/checkpoint")
"""The pod's own copy of that annotation, by the downward API; empty where nothing was asked for."""

SECRETS = PurePosixPath("/etc/finetune/secrets")
"""Secrets that the job names, as `<secret name>/<key>`."""

CONFIG_MAPS = PurePosixPath("/mnt/config-maps")
"""ConfigMaps that the job reads rows from, as `<config map name>/<key>`."""

CLAIMS = PurePosixPath("/mnt/claims")
"""Persistent volume claims that the job names, as `<claim name>/...`."""

WORK = PurePosixPath("/scratch")
"""The only place that may be written: scratch space, and the caches below `cache/`."""

TERMINATION_MESSAGE = PurePosixPath("/dev/termination-log")
"""Where the container says how it ended (`termination.Termination`)."""

PORT = 8080
"""Port that serves `METRICS_PATH` (Prometheus) and `PROGRESS_PATH` (`live.Live` as JSON)."""

METRICS_PATH = "/metrics"
PROGRESS_PATH = "/progress"
