"""Loading a job: what a manifest may look like, what it becomes, what it costs."""

import io
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from finetune_api.failures import ManifestUnreadable, SpecInvalid
from finetune_api.tasks import MethodType, Task
from finetune_trainer.manifest import dump_job, load_job

MANIFEST = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata:
  name: tickets
  labels: {team: support}
spec:
  task: SequenceClassification
  model: {uri: "file://./model"}
  data:
    train:
    - uri: file://./train.csv
  method:
    type: LoRA
    lora: {rank: 4}
  training: {learningRate: 2e-4, epochs: 3.0}
  evaluation:
    gates:
    - {metric: accuracy, min: 0.8}
    - {metric: recall.Billing & refunds, minImprovement: 0.1}
  output: {uri: file://./output}
"""


def written(folder: Path, text: str | bytes, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_load_job_gives_the_job_its_folder_and_its_source(tmp_path: Path) -> None:
    loaded = load_job(written(tmp_path, MANIFEST))
    assert loaded.job.metadata.name == "tickets"
    assert loaded.job.spec.task is Task.SEQUENCE_CLASSIFICATION
    assert loaded.job.spec.training.learning_rate == 0.0002
    assert loaded.job.spec.evaluation.gates[1].metric == "recall.Billing & refunds"
    assert loaded.base == tmp_path
    assert loaded.source["spec"]["training"] == {"learningRate": 0.0002, "epochs": 3}


def test_path_may_be_text_and_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, MANIFEST)
    monkeypatch.chdir(tmp_path)
    assert load_job("job.yaml").base == tmp_path


def test_dash_reads_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MANIFEST.encode())))
    assert load_job("-").base == tmp_path


@pytest.mark.causes("ManifestUnreadable")
def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ManifestUnreadable, match="stdin: standard input can't be read\n  pipe a job"):
        load_job("-")


@pytest.mark.parametrize(
    "content",
    [
        MANIFEST.encode("utf-8-sig"),
        MANIFEST.encode("utf-16"),
        MANIFEST.replace("\n", "\r\n").encode(),
        ("---\n" + MANIFEST + "...\n---\n").encode(),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: s3}\n---\n" + MANIFEST).encode(),
        (MANIFEST + "status: {phase: Running, later: field}\n").encode(),
    ],
    ids=["BOM", "UTF-16 of PowerShell", "CRLF", "empty documents", "Secret beside the job", "status"],
)
def test_these_files_are_jobs_too(content: bytes, tmp_path: Path) -> None:
    assert load_job(written(tmp_path, content)).job.spec.training.epochs == 3


def test_json_is_yaml(tmp_path: Path) -> None:
    job = load_job(written(tmp_path, MANIFEST)).job
    path = written(tmp_path, job.model_dump_json(by_alias=True), "job.json")
    assert load_job(path).job == job


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = MANIFEST.replace("- uri: file://./train.csv", "- &csv {uri: file://./a.csv, encoding: cp1252}")
    text = text.replace("  method:", "    test:\n    - <<: *csv\n      uri: file://./b.csv\n  method:")
    test = load_job(written(tmp_path, text)).job.spec.data.test[0]
    assert (test.uri, test.encoding) == ("file://./b.csv", "cp1252")


def test_null_means_left_out_as_for_the_api_server(tmp_path: Path) -> None:
    text = MANIFEST.replace("    type: LoRA\n    lora: {rank: 4}", "    type:\n    lora: ~").replace("epochs: 3.0", "")
    method = load_job(written(tmp_path, text)).job.spec.method
    assert method.type is MethodType.LORA
    assert method.lora is None


@pytest.mark.parametrize("write", [dump_job, lambda job: job.model_dump_json(by_alias=True)])
def test_a_dumped_job_loads_as_it_was(write: object, tmp_path: Path) -> None:
    job = load_job(written(tmp_path, MANIFEST)).job
    assert load_job(written(tmp_path, write(job))).job == job  # type: ignore[operator]


def test_dump_quotes_text_that_would_be_read_as_more(tmp_path: Path) -> None:
    names = ["2e-4", "no", "y", "010", "1:30", "2024-01-01", "null", "~", "a: b", "<<", "0x1f", ".5", "true", "1_000"]
    spec = load_job(written(tmp_path, MANIFEST)).job.spec
    labels = spec.data.labels.model_copy(update={"names": names})
    data = spec.data.model_copy(update={"labels": labels})
    evaluation = spec.evaluation.model_copy(update={"gates": []})
    job = load_job(written(tmp_path, MANIFEST)).job
    job = job.model_copy(update={"spec": spec.model_copy(update={"data": data, "evaluation": evaluation})})
    assert load_job(written(tmp_path, dump_job(job))).job.spec.data.labels.names == names


def test_dump_tells_only_what_differs_from_defaults(tmp_path: Path) -> None:
    text = dump_job(load_job(written(tmp_path, MANIFEST)).job)
    assert "learningRate: 0.0002" in text
    assert "batchSize" not in text
    assert "status" not in text


@pytest.mark.causes("ManifestUnreadable")
def test_missing_file_names_the_one_that_was_meant(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "quickstart.yaml")
    with pytest.raises(
        ManifestUnreadable, match=r"quickstrat.yaml: there is no such file\n  did you mean .*quickstart"
    ):
        load_job(tmp_path / "quickstrat.yaml")
    with pytest.raises(ManifestUnreadable, match=r"job files there: quickstart\.yaml"):
        load_job(tmp_path / "x")
    with pytest.raises(ManifestUnreadable, match="check the path"):
        load_job(tmp_path / "nowhere" / "job.yaml")


@pytest.mark.causes("ManifestUnreadable")
@pytest.mark.parametrize("path", ["", ".", "job.yaml/x", "a\0b", "x" * 5000])
def test_paths_that_are_no_files(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, MANIFEST)
    with pytest.raises(ManifestUnreadable) as raised:
        load_job(path)
    assert raised.value.problems[0].hint


@pytest.mark.causes("ManifestUnreadable")
def test_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ManifestUnreadable, match="larger than 256 KiB"):
        load_job("/dev/zero")


@pytest.mark.causes("SpecInvalid")
def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = MANIFEST.replace("rank: 4", "rank: 0").replace("2e-4", "fast").replace("name: tickets", "name: T")
    with pytest.raises(SpecInvalid) as raised:
        load_job(written(tmp_path, text + "  predict: {}\n"))
    places = [problem.where.removeprefix(f"{tmp_path}/") for problem in raised.value.problems]
    assert places == [
        "job.yaml:4 metadata.name",
        "job.yaml:14 spec.method.lora.rank",
        "job.yaml:15 spec.training.learningRate",
        "job.yaml:21 spec.predict.input",
    ]


@pytest.mark.causes("SpecInvalid")
def test_contradictions_and_gaps_are_told_together(tmp_path: Path) -> None:
    text = MANIFEST.replace("metric: accuracy", "metric: acc") + "  compute: {nodes: 2}\n"
    with pytest.raises(SpecInvalid) as raised:
        load_job(written(tmp_path, text))
    assert [problem.where.partition(" ")[2] for problem in raised.value.problems] == [
        "spec.evaluation.gates[0].metric",
        "spec.compute.nodes",
    ]


def test_loading_needs_nothing_heavy(tmp_path: Path) -> None:
    program = dedent("""
        import sys
        from finetune_trainer.manifest import load_job
        load_job(sys.argv[1])
        heavy = {"torch", "transformers", "datasets", "numpy", "peft", "accelerate", "sklearn", "obstore"}
        print(*(heavy & set(sys.modules)))
    """)
    path = written(tmp_path, MANIFEST)
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert done.returncode == 0


@pytest.mark.causes("SpecInvalid")
def test_volumes_of_a_cluster_are_refused_where_they_are_named(tmp_path: Path) -> None:
    """To be run here, that is; the manifest itself is fine."""
    path = written(
        tmp_path, MANIFEST.replace("file://./train.csv", "configmap://rows/a.csv").replace("file://./out", "pvc://a/b")
    )
    with pytest.raises(SpecInvalid) as caught:
        load_job(path)
    assert [problem.where for problem in caught.value.problems] == [
        f"{path}:11 spec.data.train[0].uri",
        f"{path}:20 spec.output.uri",
    ]
    assert "--output FOLDER" in caught.value.problems[1].hint
    assert load_job(path, to_run=False).job.metadata.name == "tickets"
