"""Job files: YAML to a checked `FineTuneJob`, or problems with line numbers.

A file means here what it means to `kubectl apply`: scalars are read as sigs.k8s.io/yaml reads them, types are not
converted, unknown fields and repeated keys are errors. Nothing heavy is imported.
"""

from finetune_trainer.manifest.dump import dump_job
from finetune_trainer.manifest.load import LoadedJob, load_job

__all__ = ["LoadedJob", "dump_job", "load_job"]
