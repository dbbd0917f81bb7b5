import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from checkpoint_worlds import Watched

from finetune_api.failures import Fenced, OutputExists, OutputNotWritable, StorageUnavailable
from finetune_api.manifest import MANIFEST_NAME, Lineage, Manifest
from finetune_api.outcome import Outcome
from finetune_api.output import Output
from finetune_trainer.output.publish import OutputFolder, list_files
from finetune_trainer.storage import Folder, Site

FILES = {
    "README.md": b"# Card\n",
    "model/config.json": b"{}",
    "model/model.safetensors": bytes(5_000),
    "report/report.json": b"{}",
    "report/z": b"",
}
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
    return OutputFolder(Output(uri="file://./runs/"), Site(tmp_path), "reviews", "uid-1")


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
    artifacts = output.publish(staged, manifest_of(staged), told.append)
    folder = tmp_path / "runs" / "reviews" / "uid-1"
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    content = (folder / MANIFEST_NAME).read_bytes()
    assert artifacts.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert artifacts.model == (folder / "model").as_uri()
    assert Manifest.model_validate_json(content) == manifest_of(staged).model_copy(
        update={"created_at": Manifest.model_validate_json(content).created_at}
    )
    assert sum(told) == sum(len(content) for content in FILES.values())
    assert output.published is not None
    assert output.uri("model") == (folder / "model").as_uri()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*FILES, MANIFEST_NAME, "claims/1"}


def test_the_manifest_comes_last(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "runs" / "reviews" / "uid-1" / MANIFEST_NAME
    output.claim()
    output.publish(staged, manifest_of(staged), lambda _bytes: pytest.fail("too early") if manifest.exists() else None)
    assert manifest.exists()


def again(tmp_path: Path, uid: str = "uid-1") -> OutputFolder:
    return OutputFolder(Output(uri="file://./runs"), Site(tmp_path), "reviews", uid)


def test_each_attempt_takes_the_next_number(output: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "runs/reviews/uid-1/claims").mkdir(parents=True)
    (tmp_path / "runs/reviews/uid-1/claims/notes.txt").write_text("not a claim")
    attempts = [output, again(tmp_path), again(tmp_path), again(tmp_path, "uid-2")]
    for attempt in attempts:
        attempt.claim()
    assert [attempt.attempt for attempt in attempts] == [1, 2, 3, 1]
    assert json.loads((tmp_path / "runs/reviews/uid-1/claims/2").read_text()).keys() == {"time", "host", "token"}


def test_attempts_that_start_together_get_numbers_of_their_own(tmp_path: Path) -> None:
    attempts = [again(tmp_path) for _ in range(8)]
    threads = [threading.Thread(target=attempt.claim) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(attempt.attempt for attempt in attempts) == list(range(1, 9))


@pytest.mark.causes("Fenced")
def test_an_older_attempt_commits_nothing(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    output.claim()
    newer = again(tmp_path)

    def overtaken(_bytes: int) -> None:
        if not newer.attempt:
            newer.claim()

    with pytest.raises(Fenced, match=r"attempt 2 has taken over .* from this one, attempt 1"):
        output.publish(staged, manifest_of(staged), overtaken)
    assert output.published is None
    assert not (tmp_path / "runs/reviews/uid-1" / MANIFEST_NAME).exists()
    newer.publish(staged, manifest_of(staged), done)
    assert newer.published is not None


@pytest.mark.causes("Fenced")
def test_two_attempts_never_both_commit(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    """The older one commits after the newer one has looked."""
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    newer = again(tmp_path)
    newer.claim()
    before = (tmp_path / "runs/reviews/uid-1" / MANIFEST_NAME).read_bytes()
    with pytest.raises(Fenced, match="another attempt finished"):
        newer.publish(staged, manifest_of(staged), done)
    assert (tmp_path / "runs/reviews/uid-1" / MANIFEST_NAME).read_bytes() == before


@pytest.mark.causes("OutputExists")
@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ("another spec", "another job or spec"),
        ("manifest", "manifest can't be read"),
        ("model/config.json", r"model/config\.json is missing or cut"),
        ("report/report.json", r"report/report\.json was changed"),
    ],
)
def test_a_finished_run_is_never_written_over(
    output: OutputFolder, staged: Path, tmp_path: Path, spoilt: str, message: str
) -> None:
    folder = tmp_path / "runs" / "reviews" / "uid-1"
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    if spoilt == "manifest":
        (folder / MANIFEST_NAME).write_text("{}")
    elif spoilt == "report/report.json":
        (folder / spoilt).write_bytes(b"}{")
    elif spoilt != "another spec":
        (folder / spoilt).unlink()
    with pytest.raises(OutputExists, match=message) as caught:
        again(tmp_path).finished("1" * 64 if spoilt == "another spec" else NONE)
    assert caught.value.problems[0].where == "spec.output.uri"


def test_no_finished_run(output: OutputFolder) -> None:
    output.claim()
    output.put("report/report.json", b"of an attempt that failed")
    assert output.finished(NONE) is None


@pytest.mark.causes("OutputNotWritable")
def test_a_claim_shows_before_training_that_nothing_can_be_written(output: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(OutputNotWritable):
        output.claim()
    assert not output.attempt


@pytest.mark.causes("OutputNotWritable")
def test_an_upload_that_fails_midway_does_not_look_finished(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "reviews" / "uid-1"
    output.claim()
    (folder / "model").write_text("a file where the folder should be")
    with pytest.raises(OutputNotWritable):
        output.publish(staged, manifest_of(staged), done)
    assert (folder / "README.md").exists(), "it failed midway"
    assert not (folder / MANIFEST_NAME).exists()
    assert output.published is None
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
    assert output.published is None
    assert not (folder / MANIFEST_NAME).exists()


def test_a_manifest_can_be_taken_back_by_who_wrote_it(output: OutputFolder, staged: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "runs" / "reviews" / "uid-1" / MANIFEST_NAME
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    OutputFolder(Output(uri="file://./runs"), Site(tmp_path), "reviews", "uid-1").withdraw()
    assert manifest.exists()
    output.withdraw()
    assert not manifest.exists()


class Interfered(Watched):
    """The output as a run sees it whose manifest's write goes wrong."""

    def __init__(self, folder: Folder, on_manifest: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(folder, lambda path, write: on_manifest(write) if path == MANIFEST_NAME else write())


def test_an_answer_that_is_lost_does_not_lose_the_result(output: OutputFolder, staged: Path) -> None:
    """The client makes the write again, and finds its own manifest."""

    def twice(write: Callable[[], None]) -> None:
        write()
        write()

    output.folder = Interfered(output.folder, twice)
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    assert output.published is not None


@pytest.mark.causes("StorageUnavailable")
def test_a_manifest_that_may_be_there_is_taken_back_by_a_run_that_fails(
    output: OutputFolder, staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "runs" / "reviews" / "uid-1" / MANIFEST_NAME
    deaf = [True]
    monkeypatch.setattr("finetune_trainer.storage.commits.sleep", lambda _seconds: None)

    def unanswered(write: Callable[[], None]) -> None:
        with suppress(OutputExists):
            write()
        if deaf[0]:
            raise StorageUnavailable("no answer")

    output.folder = Interfered(output.folder, unanswered)
    output.claim()
    with pytest.raises(StorageUnavailable):
        output.publish(staged, manifest_of(staged), done)
    assert output.published is None
    assert manifest.exists()
    deaf[0] = False
    output.withdraw()
    assert not manifest.exists()


@pytest.mark.causes("Fenced")
def test_a_manifest_that_a_newer_attempt_may_rely_on_is_not_taken_back(
    output: OutputFolder, staged: Path, tmp_path: Path
) -> None:
    output.claim()
    output.publish(staged, manifest_of(staged), done)
    again(tmp_path).claim()
    with pytest.raises(Fenced):
        output.withdraw()
    assert (tmp_path / "runs" / "reviews" / "uid-1" / MANIFEST_NAME).exists()


@pytest.mark.causes("Fenced")
def test_files_of_a_result_are_not_replaced_by_a_newer_attempt(
    output: OutputFolder, staged: Path, tmp_path: Path
) -> None:
    """The older one commits late, when the newer one has looked for a result and found none."""
    folder = tmp_path / "runs" / "reviews" / "uid-1"
    output.claim()
    files = list_files(staged)

    def late(write: Callable[[], None]) -> None:
        newer.claim()
        write()

    newer = again(tmp_path)
    output.folder = Interfered(output.folder, late)
    output.publish(staged, manifest_of(staged), done)
    (staged / "model" / "config.json").write_bytes(b"{...}")
    with pytest.raises(Fenced, match="another attempt finished"):
        newer.publish(staged, manifest_of(staged), done)
    assert [entry for entry in list_files(folder) if not entry.path.startswith(("claims", MANIFEST_NAME))] == files
