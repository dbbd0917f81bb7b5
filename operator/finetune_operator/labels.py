"""Names that tie children to their FineTuneJob: written by `manifests`, read by `projection` and the watches."""

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "finetune-operator"
JOB_NAME = "finetune.dev/job"
"""Label with the name of the FineTuneJob."""
JOB_UID = "finetune.dev/job-uid"
"""Label with the UID of the FineTuneJob."""
SELECTOR = JOB_UID
"""Label selector of all children, which have that label: the API server sends us no other Jobs and pods. Other tools
write labels of `app.kubernetes.io` over; this one is ours alone."""
MODE = "finetune.dev/mode"
"""Label with what the pods are for, as in `run_file.Mode`."""

CONTAINER = "trainer"
"""Name of the trainer's container."""
