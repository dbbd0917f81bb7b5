"""Batch prediction at the end of a job, on a node: rows from the object store and from a ConfigMap."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kubectl_commands import Kubectl
from object_store import content, verified_manifest
from obstore.store import S3Store
from tuning_jobs import BUCKET, SECRET, Tuning, tiny_job

SECONDS = 180
"""Patience until all of them have ended; they share one node."""
TEXTS = ["I was charged twice this month.", "The app crashes when I open it.", 'Where is "Export"? And how?', "退款"]
LABELS = {"billing", "bug_report", "account_access", "how_to", "feature_request", "cancellation"}

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Jobs:
    """Three jobs side by side, each with other rows to predict."""

    stored: Tuning
    mounted: Tuning
    missing: Tuning


@pytest.fixture(scope="module")
def jobs(kubectl: Kubectl, store: S3Store, namespace_with_credentials: Callable[[str], str]) -> Jobs:
    namespace = namespace_with_credentials("prediction")
    rows = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS)
    store.put("data/new_tickets.jsonl", rows.encode())
    kubectl("create", "configmap", "new-tickets", "-n", namespace, f"--from-literal=new.jsonl={rows}")
    secret = {"secretRef": {"name": SECRET}}
    inputs: dict[str, Any] = {
        "stored": {"input": f"{BUCKET}/data/new_tickets.jsonl", **secret},
        "mounted": {"input": "configmap://new-tickets/new.jsonl"},
        "missing": {"input": f"{BUCKET}/data/no_tickets.jsonl", **secret},
    }
    for name, predict in inputs.items():
        job = tiny_job(f"predict-{name}", namespace, predict=predict)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(job))
    return Jobs(**{name: Tuning(kubectl, namespace, f"predict-{name}") for name in inputs})


def predictions(store: S3Store, tuning: Tuning) -> list[dict[str, Any]]:
    """What the job wrote, after a look at the manifest."""
    status = tuning.wait_for_phase("Succeeded", seconds=SECONDS)
    uri = status["artifacts"]["predictions"]
    prefix = status["artifacts"]["model"].removeprefix(f"{BUCKET}/").removesuffix("/model")
    assert uri == f"{BUCKET}/{prefix}/predictions.jsonl"
    assert "predictions.jsonl" in {entry.path for entry in verified_manifest(store, prefix).files}
    return [json.loads(line) for line in content(store, f"{prefix}/predictions.jsonl").decode().splitlines()]


def test_each_row_has_its_prediction_in_order(jobs: Jobs, store: S3Store) -> None:
    found = predictions(store, jobs.stored)
    assert [row["text"] for row in found] == TEXTS
    assert {row["label"] for row in found} <= LABELS
    assert all(sum(row["scores"].values()) == pytest.approx(1, abs=1e-3) for row in found)


def test_rows_of_a_config_map_are_predicted_alike(jobs: Jobs, store: S3Store) -> None:
    stored, mounted = predictions(store, jobs.stored), predictions(store, jobs.mounted)
    assert [(row["text"], row["label"]) for row in mounted] == [(row["text"], row["label"]) for row in stored]


def test_missing_rows_fail_the_job_before_it_trains(jobs: Jobs) -> None:
    status = jobs.missing.wait_for_phase("Failed", seconds=SECONDS)
    assert status["failure"]["code"] == "DataNotFound"
    assert "no_tickets.jsonl" in status["failure"]["message"]
    assert status.get("progress", {}).get("step", 0) == 0
    assert not status.get("artifacts", {}).get("predictions")
