"""`spec.output`, `spec.checkpoints` and `spec.predict`: outputs and their locations."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, SecretReference, ShortText
from finetune_api.data import DataFormat, DataUri
from finetune_api.resume import ResumeFrom
from finetune_api.uris import CLAIM_RULE, INPUT_RULES

OutputUri = Annotated[str, StringConstraints(max_length=1024, pattern=r"^(s3|gs|az|pvc|file)://.+$")]


class Checkpoints(ApiModel):
    """Checkpoints to resume from. They are deleted once the run is finished: the model is the result."""

    save_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Steps between two checkpoints (`save_steps`); 0 means after each epoch."""

    keep_best: Annotated[int, Field(ge=0, le=100)] = 2
    """Checkpoints with the best values of `evaluation.metric` that are kept during the run."""

    keep_last: Annotated[int, Field(ge=1, le=100)] = 1
    """Newest checkpoints that are kept during the run (`save_total_limit`)."""

    resume_from: ResumeFrom | None = None
    """A failed or stopped run whose newest checkpoint training continues from (`resume_from_checkpoint`), instead of
    from the base model. Task, model, data, method and training must be those of that run; only `training.epochs` and
    `training.maxSteps`, and what says how and where it is computed, may differ."""


class WeightsDtype(StrEnum):
    """Number format of exported weights (`torch_dtype`)."""

    AUTO = "Auto"
    FP32 = "FP32"
    BF16 = "BF16"
    FP16 = "FP16"


class Output(ApiModel):
    """Where the model and the report go: `<uri>/<job name>/<job uid>/`."""

    rules = (CLAIM_RULE,)

    uri: OutputUri
    """`s3://`, `gs://` or `az://` bucket and prefix, `pvc://claim/path`, or `file://path` (local runs)."""

    merge_adapter: bool = False
    """Write the base model with the adapter merged into it (`merge_and_unload`) instead of the adapter alone."""

    dtype: WeightsDtype = WeightsDtype.AUTO
    """Number format of the exported weights (`torch_dtype`). `Auto`: a whole model has that of its base model, an
    adapter FP32. A tensor with values beyond the range of FP16 stays FP32."""

    secret_ref: SecretReference | None = None
    """Secret with the credentials of the store."""


class Predict(ApiModel):
    """A batch prediction with the fine-tuned model at the end of the job."""

    rules = INPUT_RULES

    input: DataUri
    """Examples to predict, with the columns of the training examples; labels and answers may be missing. The result is
    `predictions.jsonl` in the output: one line per example, in the same order."""

    format: DataFormat = DataFormat.AUTO
    """File format; `Auto` goes by the file's ending, then by the format of the training rows."""

    encoding: ShortText = ""
    """Text encoding. Empty means UTF-8, or that of the training rows where the file is not UTF-8."""

    delimiter: Annotated[str, StringConstraints(max_length=1)] = ""
    """Column separator of CSV files. Empty means found from the header line, or that of the training rows."""

    secret_ref: SecretReference | None = None
    """Secret with the credentials of the store."""


QueueName = Annotated[str, StringConstraints(max_length=63, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
"""It is the value of a label, too."""
PriorityName = Annotated[str, StringConstraints(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]


class Compute(ApiModel):
    """What the job runs on in a cluster. A local run uses the machine it is on."""

    profile: Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = "default"
    """Name of a compute profile that the platform team defined in the chart."""

    nodes: Annotated[int, Field(ge=1, le=512)] = 1
    """Pods that train together; more than 1 is refused until training in several processes is built."""

    gpus_per_node: Annotated[int, Field(ge=0, le=16)] = 0
    """GPUs per pod; more than 1 is refused until training in several processes is built."""

    queue: QueueName = ""
    """Kueue LocalQueue of the namespace that admits the job; empty means none. The label
    `kueue.x-k8s.io/queue-name` of the job says the same."""

    priority_class_name: PriorityName = ""
    """PriorityClass of the pods; empty means the profile's."""


Seconds = Annotated[int, Field(ge=0, le=31_536_000)]


class RunPolicy(ApiModel):
    """Retries, deadlines and clean-up in a cluster, with the meaning they have for Jobs.

    The only part of a spec that may be changed later.
    """

    suspend: bool = False
    """Save a checkpoint, free the pods and wait; set it to false to resume."""

    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """Retries after failures that another attempt may cure. An invalid spec or invalid data is never retried."""

    max_preemptions: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Restarts after preemption, drain or eviction, counted apart from `backoffLimit`."""

    active_deadline_seconds: Seconds = 0
    """Longest time that the job may be running, all attempts together; 0 means no limit."""

    pre_running_deadline_seconds: Seconds | None = None
    """Longest wait for a pod to start; 0 means no limit. Left out, what is broken (image, volume, admission) has 900
    seconds, and what is scarce (nodes, quota) any time. A job with a checkpoint is never ended by waiting."""

    stall_seconds: Seconds = 900
    """Longest time without progress before the attempt counts as stalled; 0 means no limit. A trainer that the operator
    can't ask ends itself after four times as long, as its pod was created with."""

    force_replace_seconds: Seconds = 0
    """Replace a pod by force this long after it should have ended and has not, as on a node that is gone; 0 means
    never. Should the old pod still run, it can do no harm: a newer attempt keeps it from writing to the output."""

    ttl_seconds_after_finished: Seconds | None = None
    """Delete the job this long after it ended (outputs stay); left out it is kept."""
