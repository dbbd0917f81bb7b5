import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from finetune_api.failures import OutputExists, OutputNotWritable
from finetune_api.manifest import MANIFEST_NAME, Lineage, Manifest
from finetune_api.outcome import Outcome
from finetune_trainer.output.publish import OutputFolder, list_files

FILES = {"README.md": b"# Card\n", "model/config.json": b"{}", "model/model.safetensors": bytes(5_000), "report/a": b""}
NONE = "0" * 64


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """What a run made."""
    for path, content in FILES.items():
        (tmp_path / "staged" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "staged" / path).write_bytes(content)
    return tmp_path / "staged"


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    """Where it goes."""
    return OutputFolder("file://./runs/", tmp_path, "reviews", "uid-1")


def manifest_of(staged: Path) -> Manifest:
    return Manifest(
        job="reviews",
        uid="uid-1",
        outcome=Outcome.SUCCEEDED,
        created_at=datetime.now(UTC),
        files=list_files(staged),
        lineage=Lineage(spec_digest=NONE, data_digest=NONE, model_uri="hf://a/b", model_digest=NONE),
    )


def done(_bytes: int) -> None:
    """Nobody watches."""


def test_the_manifest_lists_every_file_with_size_and_hash(staged: Path) -> None:
    entries = list_files(staged)
    assert [entry.path for entry in entries] == sorted(FILES)
    for entry in entries:
        assert entry.size == len(FILES[entry.path])
        assert entry.sha256 == hashlib.sha256(FILES[entry.path]).hexdigest()


def test_what_is_published(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    told: list[int] = []
    output.claim()
    digest = output.publish(staged, manifest_of(staged), told.append)
    folder = tmp_path / "runs" / "reviews" / "uid-1"
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    content = (folder / MANIFEST_NAME).read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()
    assert Manifest.model_validate_json(content) == manifest_of(staged).model_copy(
        update={"created_at": Manifest.model_validate_json(content).created_at}
    )
    assert sum(told) == sum(len(content) for content in FILES.values())
    assert output.committed
    assert output.uri("model") == (folder / "model").as_uri()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*FILES, MANIFEST_NAME, "claims/1"}


def test_the_manifest_comes_last(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "runs" / "reviews" / "uid-1" / MANIFEST_NAME
    output.claim()
    output.publish(staged, manifest_of(staged), lambda _bytes: pytest.fail("too early") if manifest.exists() else None)
    assert manifest.exists()


@pytest.mark.causes("OutputExists")
def test_a_folder_is_claimed_once(output: OutputFolder, tmp_path: Path) -> None:
    output.claim()
    assert output.claimed
    other = OutputFolder("file://./runs", tmp_path, "reviews", "uid-1")
    with pytest.raises(OutputExists):
        other.claim()
    assert not other.claimed
    OutputFolder("file://./runs", tmp_path, "reviews", "uid-2").claim()


@pytest.mark.causes("OutputExists")
def test_a_finished_run_is_never_written_over(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    (tmp_path / "runs" / "reviews" / "uid-1" / "claims" / "1").unlink()
    with pytest.raises(OutputExists, match="already holds a finished run") as caught:
        OutputFolder("file://./runs", tmp_path, "reviews", "uid-1").claim()
    assert caught.value.problems[0].where == "spec.output.uri"


@pytest.mark.causes("OutputNotWritable")
def test_a_claim_shows_before_training_that_nothing_can_be_written(output: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(OutputNotWritable):
        output.claim()
    assert not output.claimed


@pytest.mark.causes("OutputNotWritable")
def test_an_upload_that_fails_midway_does_not_look_finished(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "reviews" / "uid-1"
    output.claim()
    (folder / "model").write_text("a file where the folder should be")
    with pytest.raises(OutputNotWritable):
        output.publish(staged, manifest_of(staged), done)
    assert (folder / "README.md").exists(), "it failed midway"
    assert not (folder / MANIFEST_NAME).exists()
    assert not output.committed
    assert not list(folder.rglob("*.partial"))


@pytest.mark.causes("OutputNotWritable")
@pytest.mark.parametrize("content", [None, b"half"])
def test_files_that_are_lost_or_cut_are_noticed(
    output: OutputFolder, staged: Path, tmp_path: Path, content: bytes | None
) -> None:
    folder = tmp_path / "runs" / "reviews" / "uid-1"

    def spoil(size: int) -> None:
        if size == 0:  # the last file is up
            (folder / "model" / "model.safetensors").unlink()
            if content is not None:
                (folder / "model" / "model.safetensors").write_bytes(content)

    output.claim()
    with pytest.raises(OutputNotWritable, match=r"model/model\.safetensors"):
        output.publish(staged, manifest_of(staged), spoil)
    assert not output.committed
    assert not (folder / MANIFEST_NAME).exists()


def test_a_manifest_can_be_taken_back_by_who_wrote_it(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "runs" / "reviews" / "uid-1" / MANIFEST_NAME
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    OutputFolder("file://./runs", tmp_path, "reviews", "uid-1").withdraw()
    assert manifest.exists()
    output.withdraw()
    assert not manifest.exists()
