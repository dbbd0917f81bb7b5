"""The generated CRD on a real API server: it is taken whole, and enforces what the models say."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from yaml import safe_load, safe_load_all

from finetune_api.job import FineTuneJob

if TYPE_CHECKING:
    from control_plane import ControlPlane

pytestmark = pytest.mark.timeout(1800)  # the first test on a machine may have to build the API server

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2]
TABLE = safe_load((ROOT / "tests" / "data" / "api_constraints.yaml").read_text("utf-8"))
ROWS = [*TABLE["rules"], *TABLE["bounds"], *TABLE["renamed"]]
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.yaml") if "kind: FineTuneJob" in path.read_text())
JOBS = "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs"
TRY = "?dryRun=All&fieldValidation=Strict"  # as kubectl asks for by default


def laid_over(base: Manifest, part: Manifest) -> Manifest:
    return {**base, **{top: {**base[top], **fields} for top, fields in part.items()}}


def ids(rows: list[Manifest]) -> list[str]:
    return [row.get("says") or row["field"] for row in rows]


@pytest.fixture
def job(request: pytest.FixtureRequest, api_server: "ControlPlane") -> Iterator[Manifest]:
    """A job on the server, made from the part that the test is parametrised with."""
    status, stored = api_server.request("POST", JOBS, laid_over(TABLE["base"], getattr(request, "param", {})))
    assert status == 201, stored
    yield stored
    api_server.request("DELETE", f"{JOBS}/{stored['metadata']['name']}")


def test_the_crd_is_established_without_complaints(api_server: "ControlPlane") -> None:
    _, crd = api_server.request(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/finetunejobs.finetune.dev"
    )
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_the_server_keeps_the_schema_as_it_was_written(api_server: "ControlPlane") -> None:
    """It drops without a word what it doesn't know."""
    _, crd = api_server.request(
        "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/finetunejobs.finetune.dev"
    )
    written = safe_load((ROOT / "crds" / "finetunejobs.yaml").read_text("utf-8"))["spec"]["versions"]
    assert crd["spec"]["versions"] == written


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_accepts_and_means_the_same(row: Manifest, api_server: "ControlPlane") -> None:
    manifest = laid_over(TABLE["base"], row["accept"])
    status, stored = api_server.request("POST", JOBS + TRY, manifest)
    assert status == 201, stored
    assert FineTuneJob.model_validate(stored).spec == FineTuneJob.model_validate(manifest).spec


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_rejects_and_names_the_field(row: Manifest, api_server: "ControlPlane") -> None:
    status, refusal = api_server.request("POST", JOBS + TRY, laid_over(TABLE["base"], row["reject"]))
    assert status in (400, 422), refusal
    assert row["field"] in refusal["message"]
    assert row.get("says", "") in refusal["message"]


@pytest.mark.parametrize(
    ("job", "row"),
    [(row.get("from", {}), row) for row in TABLE["changes"]],
    ids=ids(TABLE["changes"]),
    indirect=["job"],
)
def test_a_job_may_be_repeated_but_not_changed(row: Manifest, job: Manifest, api_server: "ControlPlane") -> None:
    def replaced(part: Manifest) -> tuple[int, Manifest]:
        version = {"metadata": {"resourceVersion": job["metadata"]["resourceVersion"]}}
        return api_server.request(
            "PUT", f"{JOBS}/{job['metadata']['name']}{TRY}", laid_over(laid_over(TABLE["base"], version), part)
        )

    status, answer = replaced(row["accept"])
    assert status == 200, answer
    status, answer = replaced(row["reject"])
    assert status == 422, answer
    assert row["says"] in answer["message"]
    assert "spec: Invalid value" in answer["message"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_come_back_whole(path: Path, api_server: "ControlPlane") -> None:
    applied = api_server.kubectl("apply", "--dry-run=server", "-o", "json", "-f", str(path))
    assert applied.returncode == 0, applied.stderr
    stored = safe_load(applied.stdout)
    back = [FineTuneJob.model_validate(it).spec for it in stored.get("items", [stored])]
    assert back == [FineTuneJob.model_validate(it).spec for it in safe_load_all(path.read_text("utf-8"))]


def test_there_are_examples() -> None:
    assert ROOT / "examples" / "quickstart.yaml" in EXAMPLES


def test_explain_shows_the_descriptions_of_fields(api_server: "ControlPlane") -> None:
    explained = api_server.kubectl("explain", "ftj.spec.method.lora.rank").stdout
    assert "FIELD: rank <integer>" in explained
    assert "Rank of the update matrices" in explained
    assert (
        "DESCRIPTION:\n    Learning rate schedule after the warm-up"
        in api_server.kubectl("explain", "finetunejobs.spec.training.lrSchedulerType").stdout
    )


STATUS = {
    "observedGeneration": 1,
    "phase": "Training",
    "conditions": [
        {
            "type": "Running",
            "status": "True",
            "reason": "PodRunning",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ],
    "attempts": [{"number": 1, "reason": "Preempted", "exitCode": 85, "steps": 60}, {"number": 2, "resumedFrom": 60}],
    "summary": {"progress": "42% 120/285", "loss": "0.3451", "metric": "f1Macro 0.812", "eta": "3m20s"},
    "evaluation": {"metrics": {"f1Macro": 0.812, "recall.billing": 1}, "baseline": {"f1Macro": 0.1}},
}


def test_columns_show_the_status(job: Manifest, api_server: "ControlPlane") -> None:
    assert api_server.request("PATCH", f"{JOBS}/{job['metadata']['name']}/status", {"status": STATUS})[0] == 200
    header, row = api_server.kubectl("get", "ftj").stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "LOSS", "METRIC", "ETA", "AGE"]
    assert row.split()[:8] == ["constraints", "Training", "42%", "120/285", "0.3451", "f1Macro", "0.812", "3m20s"]
    header, row = api_server.kubectl("get", "ftj", "-o", "wide").stdout.splitlines()
    assert header.split()[6:9] == ["ATTEMPTS", "PROFILE", "QUEUE"]
    assert row.split()[8] == "2"
    assert "finetunejob.finetune.dev/constraints" in api_server.kubectl("get", "all", "-o", "name").stdout


def test_a_status_is_stored_whole_and_without_defaults(job: Manifest, api_server: "ControlPlane") -> None:
    status, stored = api_server.request("PATCH", f"{JOBS}/{job['metadata']['name']}/status", {"status": STATUS})
    assert status == 200, stored
    assert stored["status"] == STATUS
    FineTuneJob.model_validate(stored)


def test_status_and_spec_are_written_apart(job: Manifest, api_server: "ControlPlane") -> None:
    """The operator can't change a spec by mistake, nor a user a status."""
    path = f"{JOBS}/{job['metadata']['name']}"
    assert "status" not in api_server.request("PATCH", path, {"status": {"phase": "Succeeded"}})[1]
    through_status = api_server.request("PATCH", f"{path}/status", {"spec": {"runPolicy": {"suspend": True}}})[1]
    assert through_status["spec"] == job["spec"]


@pytest.mark.parametrize(
    "told", [None, {"phase": "Pending"}, {"phase": "Failed"}, {"phase": "Training", "summary": {}}]
)
def test_a_change_of_the_spec_is_refused_whatever_it_says_of_the_status(
    told: Manifest | None, job: Manifest, api_server: "ControlPlane"
) -> None:
    """The rule that fixes the spec is spared where a status is written; nobody may pass for that."""
    path = f"{JOBS}/{job['metadata']['name']}"
    for written in ({}, {"phase": "Training"}):
        stored = api_server.request("PATCH", f"{path}/status", {"status": written})[1]
        changed = {**stored, "spec": {**stored["spec"], "task": "MaskedLM"}, "status": told}
        status, answer = api_server.request("PUT", path, changed)
        assert status == 422, answer
        assert "task can't be changed once the job exists" in answer["message"]


def test_a_job_without_the_words_of_its_status_can_be_read_and_written(
    job: Manifest, api_server: "ControlPlane"
) -> None:
    path = f"{JOBS}/{job['metadata']['name']}"
    for words in ({}, {"failures": 1}, {"phase": "Training"}, {"phase": "Training", "summary": {"loss": "0.5"}}):
        version = {"resourceVersion": api_server.request("GET", path)[1]["metadata"]["resourceVersion"]}
        body = {**job, "metadata": {**job["metadata"], **version}, "status": words}
        status, stored = api_server.request("PUT", f"{path}/status", body)
        assert (status, stored.get("status")) == (200, words)


def test_conditions_are_merged_by_type(job: Manifest, api_server: "ControlPlane") -> None:
    name, conditions = job["metadata"]["name"], STATUS["conditions"]
    twice = {"status": {"conditions": [*conditions, *conditions]}}
    status, refusal = api_server.request("PATCH", f"{JOBS}/{name}/status", twice)
    assert status == 422
    assert "status.conditions[1]: Duplicate value" in refusal["message"]
    api_server.request("PATCH", f"{JOBS}/{name}/status", {"status": STATUS})
    assert api_server.kubectl("wait", "ftj", name, "--for=condition=Running", "--timeout=10s").returncode == 0


def test_what_is_applied_twice_is_unchanged(api_server: "ControlPlane") -> None:
    """A default that is stored in an item of a list would be drift for ever: clients replace whole lists."""
    api_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "twice"}})
    api_server.wait_for("/api/v1/namespaces/twice")
    files = [part for path in EXAMPLES for part in ("-f", str(path))]
    first, second = (api_server.kubectl("apply", "--namespace=twice", *files) for _ in range(2))
    api_server.request("DELETE", "/api/v1/namespaces/twice")
    assert first.returncode == 0, first.stderr
    lines = [line for line in second.stdout.splitlines() if line.startswith("finetunejob.")]
    assert [line for line in lines if not line.endswith(" unchanged")] == []
    assert len(lines) >= len(EXAMPLES)
