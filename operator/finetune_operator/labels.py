"""Labels and annotations that tie children to their FineTuneJob: of `manifests`, `projection` and watches."""

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
JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")
"""Labels of Kubernetes with the name of the Job: it gives them to pods of Jobs without a selector of their own."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Label of Kueue, on a FineTuneJob and on its Jobs: the LocalQueue that admits them."""
QUEUE_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
"""Label of Kueue, handed on as it is: the WorkloadPriorityClass."""

SUSPENDED = "finetune.dev/suspended"
"""Annotation of a Job that the operator has suspended for `runPolicy.suspend`; nobody else's suspension has it."""

CONTAINER = "trainer"
"""Name of the trainer's container."""
