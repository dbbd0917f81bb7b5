"""Our side of the benchmarks: the whole job, as a user runs it."""

import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from finetune_api.job import FineTuneJob
from finetune_api.report import Report
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.run import run_job
from finetune_trainer.storage import Site


def run_ours(spec: dict[str, Any], base: Path, keep: Path | None = None) -> Report:
    """Run a job with an empty cache and return its report; raises the failure of a job that fails.

    The tuned model goes to the folder `keep`, where one is named.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FINETUNE_CACHE"] = folder
        manifest = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "benchmark"},
            "spec": {**spec, "output": {"uri": Path(folder, "runs").as_uri()}},
        }
        job = FineTuneJob.model_validate_json(json.dumps(manifest))
        result = run_job(job, Site(base), "1", PlainObserver(io.StringIO()))
        if result.failure is not None:
            raise result.failure
        if keep is not None:
            shutil.copytree(Path(folder, "runs", "benchmark", "1", "model"), keep)
        return result.report


def data_spec(arguments: Any) -> dict[str, Any]:
    """`spec.data` from the command line of a benchmark."""
    columns = {"text": arguments.text, "label": arguments.label}
    spec: dict[str, Any] = {"train": [{"uri": Path(arguments.train).absolute().as_uri()}], "columns": columns}
    if arguments.test:
        spec["test"] = [{"uri": Path(arguments.test).absolute().as_uri()}]
    if arguments.rows:
        spec["maxRows"] = arguments.rows
    return spec


def add_data_options(parser: Any) -> None:
    """Options that say which rows and which model."""
    root = Path(__file__).parent.parent
    parser.add_argument("--model", required=True, help="folder of a BERT-like encoder")
    parser.add_argument("--train", default=str(root / "examples/data/support_tickets.csv"), help="training rows")
    parser.add_argument("--test", default="", help="test rows; split from the training rows by default")
    parser.add_argument("--text", default="text", help="text column")
    parser.add_argument("--label", default="label", help="label column")
    parser.add_argument("--rows", type=int, default=0, help="train on at most this many rows")
