"""The main job: `kubectl apply` of the examples ends in trained models, and everything that tells of it is right."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from kubectl_commands import Json, Kubectl, wait_until
from object_store import DATA, report, verified_manifest
from obstore.store import S3Store
from prometheus_queries import Prometheus, dashboard_queries, filled_in
from tuning_jobs import ENDED, SECRET, Tuning

EXAMPLES = Path(__file__).parents[2] / "examples" / "cluster"
DASHBOARD = Path(__file__).parents[2] / "charts" / "finetune-operator" / "dashboards" / "finetune.json"
FROM_S3, FROM_CONFIG_MAP = "tickets-from-s3", "tickets-from-config-map"
TRAIN_SECONDS = 420
COLUMNS = ["NAME", "PHASE", "PROGRESS", "LOSS", "METRIC", "ETA", "ATTEMPTS", "PROFILE", "QUEUE", "AGE"]

pytestmark = [pytest.mark.usefixtures("release", "store"), pytest.mark.timeout(600)]


@dataclass
class Run:
    """Both examples, from apply to their end."""

    s3: Tuning
    config_map: Tuning
    started: float
    ended: float = 0
    looks: list[str] = field(default_factory=list)
    """What `kubectl get ftj` showed, look by look."""

    def percents(self, name: str) -> list[int]:
        """Progress in percent as it was shown, without repetitions."""
        shown = re.findall(rf"^{name} +\S+ +(\d+)%", "\n".join(self.looks), re.MULTILINE)
        return list(dict.fromkeys(map(int, shown)))


@pytest.fixture(scope="module")
def run(kubectl: Kubectl, namespace_with_credentials: Callable[[str], str]) -> Run:
    namespace = namespace_with_credentials("examples")
    rows = DATA / "support_tickets.csv"
    kubectl("create", "configmap", "support-tickets", f"--from-file={rows}", "-n", namespace)
    from_config_map = yaml.safe_load((EXAMPLES / f"{FROM_CONFIG_MAP}.yaml").read_text())
    # The test bed has no model hub: this job, too, takes the model from the object store.
    from_config_map["spec"]["model"] = {"uri": "s3://finetune/models/all-MiniLM-L6-v2", "secretRef": {"name": SECRET}}
    kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "results-volume.yaml"))
    seen = Run(Tuning(kubectl, namespace, FROM_S3), Tuning(kubectl, namespace, FROM_CONFIG_MAP), time.time())
    kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / f"{FROM_S3}.yaml"))
    kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(from_config_map))

    def ended() -> bool:
        seen.looks.append(kubectl("get", "ftj", "-n", namespace))
        return all(tuning.phase in ENDED for tuning in (seen.s3, seen.config_map))

    wait_until("both examples ended", ended, TRAIN_SECONDS, every=1, tell=lambda: "\n".join(seen.looks[::20]))
    seen.ended = time.time()
    return seen


def test_both_examples_succeed(run: Run, kubectl: Kubectl) -> None:
    names = [f"finetunejob/{tuning.name}" for tuning in (run.s3, run.config_map)]
    waited = kubectl("wait", "-n", run.s3.namespace, "--for=condition=Succeeded", "--timeout=5s", *names)
    assert waited.count("condition met") == 2
    for tuning in (run.s3, run.config_map):
        status = tuning.status
        assert status["phase"] == "Succeeded"
        assert status["artifacts"]["digest"].startswith("sha256:")
        assert [gate["passed"] for gate in status["evaluation"]["gates"]] == [True] * len(status["evaluation"]["gates"])
        assert [attempt["reason"] for attempt in status["attempts"]] == ["Succeeded"]


def test_progress_is_seen_to_move(run: Run) -> None:
    percents = run.percents(FROM_S3)
    assert len(percents) >= 2, run.looks
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_get_tells_phase_progress_loss_and_metric(run: Run, kubectl: Kubectl) -> None:
    wide = kubectl("get", "ftj", FROM_S3, "-n", run.s3.namespace, "-o", "wide").splitlines()
    assert wide[0].split() == COLUMNS
    cells = re.split(r"  +", wide[1])
    assert cells[:2] == [FROM_S3, "Succeeded"]
    assert re.fullmatch(r"100% \d+/\d+", cells[2])
    assert float(cells[3]) > 0
    assert re.fullmatch(r"f1Macro 0\.\d+", cells[4])


def test_model_in_the_object_store_is_what_its_manifest_says(run: Run, store: S3Store) -> None:
    status = run.s3.status
    prefix = status["artifacts"]["model"].removeprefix("s3://finetune/").removesuffix("/model")
    manifest = verified_manifest(store, prefix)
    assert (manifest.job, manifest.outcome) == (FROM_S3, "Succeeded")
    assert manifest.uid == (run.s3.object or {})["metadata"]["uid"]
    measured = report(store, prefix)["evaluation"]
    assert isinstance(measured, dict)
    assert measured["metrics"]["accuracy"] == pytest.approx(status["evaluation"]["metrics"]["accuracy"])


def test_model_predicts(run: Run, s3_environment: dict[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "new.csv"
    rows.write_text("text\nI was charged twice for the same invoice this month.\nMy password reset mail never comes.\n")
    trainer = Path(sys.executable).with_name("finetune-trainer")
    command = [trainer, "predict", run.s3.status["artifacts"]["model"], str(rows), "--format", "jsonl"]
    environment = {**os.environ, **s3_environment, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    labels = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    assert labels == ["billing", "account_access"]


def test_model_on_the_volume_is_what_its_manifest_says(run: Run, run_in_pod: Callable[..., str]) -> None:
    uri = run.config_map.status["artifacts"]["model"]
    assert uri.startswith("pvc://results/models/")
    folder = uri.replace("pvc://results", "/mnt/results").removesuffix("/model")
    program = f"""
import hashlib, json, pathlib
folder = pathlib.Path({folder!r})
files = json.loads((folder / "MANIFEST.json").read_text())["files"]
wrong = [f["path"] for f in files if hashlib.sha256((folder / f["path"]).read_bytes()).hexdigest() != f["sha256"]]
print(json.dumps([len(files), wrong]))
"""
    count, wrong = json.loads(run_in_pod(run.config_map.namespace, program, claim="results"))
    assert count > 3
    assert wrong == []


def test_describe_tells_the_story_in_order(run: Run, kubectl: Kubectl) -> None:
    told = kubectl("describe", "finetunejob", FROM_S3, "-n", run.s3.namespace)
    story = told[told.index("Events:") :]
    reasons = [event["reason"] for event in run.s3.events()]
    assert re.findall(r"^  (?:Normal|Warning) +(\w+)", story, re.MULTILINE) == reasons
    assert reasons[0] == "Accepted"
    assert reasons[-1] == "Succeeded"
    assert "s3://finetune/results/" in story
    assert "Warning" not in story


def test_explain_documents_the_fields(kubectl: Kubectl) -> None:
    told = kubectl("explain", "finetunejob.spec.training.learningRate")
    assert "Peak learning rate" in told
    assert "rank\t<integer>" in kubectl("explain", "finetunejob.spec.method.lora")


def test_prometheus_has_the_loss_curve(run: Run, prometheus: Prometheus) -> None:
    selector = f'finetune_train_loss{{namespace="{run.s3.namespace}"}}'
    curve = prometheus.curve(selector, run.started, run.ended)
    losses = {value for series in curve for _, value in series["values"]}
    assert len(losses) >= 3, curve


def test_prometheus_has_the_operator_s_metrics(run: Run, prometheus: Prometheus) -> None:
    def counted() -> list[Json]:
        return prometheus.query(f'finetune_jobs{{namespace="{run.s3.namespace}",phase="Succeeded"}} == 2')

    wait_until("finetune_jobs counts two jobs that succeeded", counted, 60, every=2)
    assert prometheus.query("workqueue_adds_total")


def test_every_query_of_the_dashboard_returns_series(run: Run, prometheus: Prometheus) -> None:
    queries = dashboard_queries(DASHBOARD)
    assert queries
    variables = {
        "namespace": run.s3.namespace,
        "job": FROM_S3,
        "__rate_interval": "1m",
        "__interval": "15s",
        "__range": "15m",
        "datasource": "prometheus",
    }
    empty = [
        f"{title}: {expression}"
        for title, expression in queries
        if not prometheus.curve(filled_in(expression, **variables), run.started, time.time(), step=2)
    ]
    assert empty == []
