"""`--set a.b=c`: what it sets, and what it says when it can't."""

from pathlib import Path
from typing import Any

import pytest

from finetune_api.failures import SpecInvalid
from finetune_api.job import FineTuneJob
from finetune_trainer.manifest import load_job

MANIFEST = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: tickets}
spec:
  task: SequenceClassification
  model: {uri: "file://./model"}
  data:
    train: [{uri: file://./train.csv}]
  output: {uri: file://./output}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST)
    return path


def value_of(job: FineTuneJob, path: str) -> Any:
    value: Any = job
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return value


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("training.epochs=3", "spec.training.epochs", 3),
        ("spec.training.epochs=3", "spec.training.epochs", 3),
        ("training.learningRate=2e-4", "spec.training.learning_rate", 0.0002),
        ("metadata.name=other", "metadata.name", "other"),
        ("metadata.name=123", "metadata.name", "123"),
        ("data.train[0].uri=s3://a/b=c", "spec.data.train.0.uri", "s3://a/b=c"),
        ("data.train[1].uri=file://./more.csv", "spec.data.train.1.uri", "file://./more.csv"),
        ("data.train=[{uri: file://./x.csv}]", "spec.data.train.0.uri", "file://./x.csv"),
        ("data.columns.label=no", "spec.data.columns.label", "no"),
        ("data.columns.label=C# title", "spec.data.columns.label", "C# title"),
        ("data.columns.label='quoted'", "spec.data.columns.label", "quoted"),
        ("data.labels.separator=|", "spec.data.labels.separator", "|"),
        ("data.labels.names=[a, b]", "spec.data.labels.names", ["a", "b"]),
        ("data.clean.lowercase=true", "spec.data.clean.lowercase", True),
        ("method.lora.rank=4", "spec.method.lora.rank", 4),
        ("evaluation.gates=[{metric: accuracy, min: 0.8}]", "spec.evaluation.gates.0.min", 0.8),
        ("evaluation.gates[0]={metric: accuracy, max: 0.8}", "spec.evaluation.gates.0.max", 0.8),
        ("compute.queue=", "spec.compute.queue", ""),
    ],
)
def test_set(override: str, place: str, value: object, path: Path) -> None:
    assert value_of(load_job(path, [override]).job, place) == value


def test_later_overrides_win_and_the_source_has_them(path: Path) -> None:
    loaded = load_job(path, ["training.epochs=3", "training.epochs=4", "training.seed=1", "training.seed=null"])
    assert loaded.job.spec.training.epochs == 4
    assert loaded.job.spec.training.seed == 42
    assert loaded.source["spec"]["training"] == {"epochs": 4, "seed": None}


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "--set training.epochs: has no = between field and value"),
        ("=3", "'' is not a field path"),
        ("training..epochs=3", "'training..epochs' is not a field path"),
        ("data.train[x].uri=a", "'data.train[x].uri' is not a field path"),
        ("training.epoch=3", "unknown field spec.training.epoch\n  did you mean epochs?"),
        ("training.learning_rate=3", "did you mean learningRate?"),
        ("epochs=3", "unknown field spec.epochs\n  did you mean spec.training.epochs?"),
        ("training.epochs.min=3", "unknown field spec.training.epochs.min"),
        ("training[0]=3", "unknown field spec.training[0]"),
        ("kind=Job", "kind can't be set"),
        ("status.phase=Failed", "status can't be set"),
        ("data.train[3].uri=file://a", "spec.data.train has 1 items\n  the next free index is 1: spec.data.train[1]"),
        ("data.train=[", "the value is not YAML"),
        ("training.epochs=3\n---\n4", "more than one value"),
        ("training.epochs=lots", 'training.epochs=lots spec.training.epochs: "lots" is text, but a number is needed'),
        ("evaluation.gates[0].min=0.8", "spec.evaluation.gates[0].metric: missing, and required"),
        ("method.type=lora", "did you mean LoRA?"),
        ("evaluation.metric=acc", "--set evaluation.metric=acc spec.evaluation.metric: SequenceClassification has no"),
    ],
)
def test_set_that_fails(override: str, message: str, path: Path) -> None:
    with pytest.raises(SpecInvalid) as raised:
        load_job(path, [override])
    assert message in str(raised.value)
    assert len(raised.value.problems) == 1
    assert raised.value.problems[0].where.startswith("--set ")


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.deviceBatchSize=2", "deviceBatchSize is called perDeviceBatchSize now"),
        ("method.pTuning.virtualTokens=2", "virtualTokens is called numVirtualTokens now"),
        ("training.preference.loss=Sigmoid", "Sigmoid is called DPO now"),
    ],
)
def test_a_first_name_is_refused_by_the_present_one(path: Path, override: str, words: str) -> None:
    with pytest.raises(SpecInvalid, match=words):
        load_job(path, [override])


@pytest.mark.causes("SpecInvalid")
def test_all_failing_overrides_are_told(path: Path) -> None:
    with pytest.raises(SpecInvalid) as raised:
        load_job(path, ["epochs=3", "training.seed=1", "nonsense"])
    assert [problem.where for problem in raised.value.problems] == ["--set epochs=3", "--set nonsense"]


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize("broken", ["model: hf://a/b", "model: [1]"])
def test_set_below_what_is_no_mapping(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST.replace('model: {uri: "file://./model"}', broken))
    with pytest.raises(SpecInvalid, match=r"spec\.model is not a mapping in the file"):
        load_job(path, ["model.revision=main"])


@pytest.mark.causes("SpecInvalid")
def test_problems_beside_an_override_keep_their_line(path: Path) -> None:
    path.write_text(MANIFEST.replace("file://./output", "nowhere"))
    with pytest.raises(SpecInvalid) as raised:
        load_job(path, ["output.mergeAdapter=1"])
    assert [problem.where.removeprefix(f"{path}") for problem in raised.value.problems] == [
        ":9 spec.output.uri",
        "--set output.mergeAdapter=1 spec.output.mergeAdapter",
    ]
