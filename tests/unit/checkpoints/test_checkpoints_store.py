import hashlib
import json
import os
from pathlib import Path

import pytest
from checkpoint_worlds import LINEAGE, Watched, World, same, snapshot

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.failures import Fenced, StorageUnavailable
from finetune_api.output import Checkpoints
from finetune_trainer.checkpoints.disposal import discard_checkpoints


def saved(world: World, *steps: int, keep: int = 9) -> None:
    """An attempt that saves after these steps, and ends."""
    store = world.attempt(keep=Checkpoints(keep_last=keep, keep_best=0))
    store.newest(LINEAGE)
    for step in steps:
        store.save(snapshot(step))
    store.finish()
    store.close()


def test_there_is_nothing_to_go_on_from_at_first(world: World) -> None:
    store = world.attempt()
    assert store.newest(LINEAGE) is None
    assert store.committed == ()
    store.finish()
    store.close()


def test_what_is_saved_comes_back_bit_by_bit(world: World) -> None:
    store = world.attempt()
    store.newest(LINEAGE)
    store.save(snapshot(7, metric=0.25))
    store.finish()
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert same(resumed.snapshot, snapshot(7, metric=0.25))
    content = (world.folder / "checkpoints/1/7/MANIFEST.json").read_bytes()
    assert resumed.manifest == CheckpointManifest.model_validate_json(content)
    assert (resumed.manifest.job, resumed.manifest.uid, resumed.manifest.attempt) == ("reviews", "uid-1", 1)
    assert resumed.info == store.committed[0]
    assert resumed.info.uri == (world.folder / "checkpoints/1/7").as_uri()
    assert resumed.info.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert world.warnings == []


def test_the_manifest_is_the_last_file_and_local_copies_go(world: World) -> None:
    order: list[str] = []

    def watch(path: str, write: object) -> None:
        order.append(path.removeprefix("checkpoints/1/7/"))
        write()  # type: ignore[operator]

    output = world.output()
    output.folder = Watched(output.folder, watch)
    store = world.attempt(output)
    store.newest(LINEAGE)
    store.save(snapshot(7))
    store.finish()
    assert order == ["optimizer.safetensors", "state.json", "weights.safetensors", "MANIFEST.json"]
    assert [path for path in (world.root / "scratch").rglob("*") if path.is_file()] == []
    assert store.newest_upload is not None
    assert (store.newest_upload.step, store.newest_upload.size > 2 * 64 * 4 * 4) == (7, True)


def test_later_attempts_go_on_and_say_from_where(world: World) -> None:
    saved(world, 10, 20)
    second = world.attempt(keep=Checkpoints(keep_last=9))
    resumed = second.newest(LINEAGE)
    assert resumed is not None
    assert resumed.manifest.resumed_from is None
    second.save(snapshot(30))
    second.finish()
    assert [info.step for info in second.committed] == [10, 20, 30]
    third = world.attempt().newest(LINEAGE)
    assert third is not None
    assert (third.manifest.attempt, third.manifest.step, third.manifest.resumed_from) == (2, 30, 20)


def test_of_the_same_step_the_later_attempt_counts(world: World) -> None:
    saved(world, 10)
    (world.folder / "checkpoints/1/20").mkdir()
    second = world.attempt(keep=Checkpoints(keep_last=9))
    second.newest(LINEAGE)
    second.save(snapshot(10))
    second.finish()
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert resumed.manifest.attempt == 2


def test_a_step_is_not_saved_twice_by_an_attempt(world: World) -> None:
    store = world.attempt()
    store.newest(LINEAGE)
    for _ in range(2):
        store.save(snapshot(5))
        store.finish()
    assert [info.step for info in store.committed] == [5]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def change(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def rename_file_in(file: Path, name: str) -> None:
    manifest = json.loads(file.read_text())
    manifest["files"][0]["path"] = name
    file.write_text(json.dumps(manifest))


BROKEN = {
    "flipped bit": lambda at: flip(at / "weights.safetensors"),
    "flipped bit in the state": lambda at: flip(at / "state.json"),
    "cut": lambda at: os.truncate(at / "optimizer.safetensors", 100),
    "missing": lambda at: (at / "optimizer.safetensors").unlink(),
    "empty manifest": lambda at: (at / "MANIFEST.json").write_bytes(b""),
    "half a manifest": lambda at: os.truncate(at / "MANIFEST.json", 200),
    "no manifest at all": lambda at: (at / "MANIFEST.json").write_text('{"format": "finetune.dev/checkpoint/v1"}'),
    "unknown field": lambda at: change(at / "MANIFEST.json", more=1),
    "number as text": lambda at: change(at / "MANIFEST.json", step="30"),
    "other format": lambda at: change(at / "MANIFEST.json", format="finetune.dev/checkpoint/v2"),
    "other step": lambda at: change(at / "MANIFEST.json", step=31),
    "other attempt": lambda at: change(at / "MANIFEST.json", attempt=2),
    "other job": lambda at: change(at / "MANIFEST.json", uid="uid-2"),
    "no files": lambda at: change(at / "MANIFEST.json", files=[]),
    "path outside": lambda at: rename_file_in(at / "MANIFEST.json", "../20/state.json"),
    "path of a manifest": lambda at: rename_file_in(at / "MANIFEST.json", "MANIFEST.json"),
    "file twice": lambda at: rename_file_in(at / "MANIFEST.json", "state.json"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_one_is_told_of_and_the_next_older_is_taken(world: World, kind: str) -> None:
    saved(world, 10, 20, 30)
    BROKEN[kind](world.folder / "checkpoints/1/30")
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert same(resumed.snapshot, snapshot(20))
    assert len(world.warnings) == 1
    assert f"{world.folder}/checkpoints/1/30 can't be used: " in world.warnings[0]


def test_where_all_are_broken_training_begins_anew(world: World) -> None:
    saved(world, 10, 20)
    for step in (10, 20):
        flip(world.folder / f"checkpoints/1/{step}/weights.safetensors")
    assert world.attempt().newest(LINEAGE) is None
    assert len(world.warnings) == 2


def test_a_broken_one_never_stands_in_for_a_good_one(world: World) -> None:
    """The newest kept is the newest that verified, whatever the number of the broken one."""
    saved(world, 10, 100)
    flip(world.folder / "checkpoints/1/100/weights.safetensors")
    second = world.attempt(keep=Checkpoints(keep_last=1, keep_best=0))
    second.newest(LINEAGE)
    second.save(snapshot(20))
    second.save(snapshot(30))
    second.finish()
    assert [info.step for info in second.committed] == [10, 30]
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert resumed.manifest.step == 30


@pytest.mark.parametrize("field", ["spec_digest", "data_digest", "model_digest"])
def test_what_was_made_from_something_else_is_left_alone(world: World, field: str) -> None:
    saved(world, 10)
    other = LINEAGE.model_copy(update={field: "f" * 64})
    store = world.attempt(keep=Checkpoints(keep_last=1, keep_best=0))
    assert store.newest(other) is None
    assert "it was made from " in world.warnings[0]
    store.save(snapshot(20))
    store.save(snapshot(30))
    store.finish()
    assert {path.split("/")[1] for path in world.stored()} == {"10", "30"}


def test_versions_of_libraries_may_change(world: World) -> None:
    saved(world, 10)
    assert world.attempt().newest(LINEAGE.model_copy(update={"versions": {"torch": "99"}})) is not None


@pytest.mark.parametrize(
    "name", ["notes.txt", "1/10/later/x", "one/10/state.json", "1/ten/state.json", "1/010/x", "0/1/x"]
)
def test_other_things_in_the_folder_are_no_checkpoints(world: World, name: str) -> None:
    saved(world, 10)
    (world.folder / "checkpoints" / name).parent.mkdir(parents=True, exist_ok=True)
    (world.folder / "checkpoints" / name).write_bytes(b"x")
    resumed = world.attempt().newest(LINEAGE)
    assert resumed is not None
    assert resumed.manifest.step == 10
    assert name in world.stored()


@pytest.mark.parametrize("method", ["list", "get", "fetch"])
def test_a_store_that_does_not_answer_says_nothing_about_a_checkpoint(world: World, method: str) -> None:
    saved(world, 10)

    class Silent(Watched):
        pass

    def silence(*_: object) -> None:
        raise StorageUnavailable("no answer")

    setattr(Silent, method, silence)
    output = world.output()
    output.folder = Silent(output.folder, lambda _path, write: write())
    with pytest.raises(StorageUnavailable):
        world.attempt(output).newest(LINEAGE)
    assert world.warnings == []


def test_what_came_cut_once_is_fetched_again(world: World) -> None:
    saved(world, 10)
    cut: list[str] = []

    class Cutting(Watched):
        def fetch(self, path: str, scratch: Path) -> Path:
            if path in cut:
                return super().fetch(path, scratch)
            cut.append(path)
            scratch.mkdir(parents=True, exist_ok=True)
            (scratch / "half").write_bytes(super().fetch(path, scratch).read_bytes()[:-1])
            return scratch / "half"

    output = world.output()
    output.folder = Cutting(output.folder, lambda _path, write: write())
    resumed = world.attempt(output).newest(LINEAGE)
    assert resumed is not None
    assert same(resumed.snapshot, snapshot(10))
    assert len(cut) == 3


def test_one_that_is_deleted_while_it_is_read_has_a_newer_one(world: World) -> None:
    """An older attempt that is still there commits and deletes in between."""
    older = world.attempt(keep=Checkpoints(keep_last=1, keep_best=0))
    older.newest(LINEAGE)
    older.save(snapshot(10))
    older.finish()

    class Late(Watched):
        listings = 0

        def list(self, prefix: str = "") -> list[tuple[str, int]]:
            found = super().list(prefix)
            self.listings += prefix == "checkpoints"
            if self.listings == 1 and prefix == "checkpoints":
                older.save(snapshot(20))
                older.finish()
            return found

    output = world.output()
    claim = world.folder / "claims/2"
    hidden = claim.read_bytes()
    claim.unlink()  # the older attempt looks before it is there
    output.folder = Late(output.folder, lambda _path, write: write())
    resumed = world.attempt(output).newest(LINEAGE)
    claim.write_bytes(hidden)
    assert resumed is not None
    assert resumed.manifest.step == 20
    assert world.warnings == []


def test_leftovers_of_older_attempts_go_and_nothing_else(world: World) -> None:
    saved(world, 10)
    for path in (
        "checkpoints/1/20/weights.safetensors",
        "checkpoints/7/20/state.json",
        "model/x",
        "checkpoints/1/note",
    ):
        (world.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (world.folder / path).write_bytes(b"half")
    (world.folder / "checkpoints/1/20/.0123456789abcdef.partial").write_bytes(b"half")
    world.attempt().newest(LINEAGE)
    assert not (world.folder / "checkpoints/1/20").exists()
    assert (world.folder / "model/x").exists()
    assert world.stored() >= {"7/20/state.json", "1/note", "1/10/MANIFEST.json"}


def test_only_the_newest_the_best_and_the_source_stay(world: World) -> None:
    saved(world, 10)
    store = world.attempt(keep=Checkpoints(keep_last=1, keep_best=2))
    store.newest(LINEAGE)
    for step, loss in ((20, 0.5), (30, 0.1), (40, 0.3), (50, 0.9), (60, None)):
        store.save(snapshot(step, loss))
    store.finish()
    assert [info.step for info in store.committed] == [10, 30, 40, 60]
    assert {path.split("/")[1] for path in world.stored()} == {"10", "30", "40", "60"}
    assert all((world.folder / f"checkpoints/2/{step}/MANIFEST.json").exists() for step in (30, 40, 60))
    assert not (world.folder / "checkpoints/2/20").exists()


def test_checkpoints_of_a_finished_run_go_as_a_whole(world: World) -> None:
    saved(world, 10, 20)
    (world.folder / "model").mkdir()
    output = world.output()
    discard_checkpoints(output.folder, world.warnings.append)
    assert not (world.folder / "checkpoints").exists()
    assert (world.folder / "model").exists()
    assert (world.folder / "claims/2").exists()
    discard_checkpoints(output.folder, world.warnings.append)
    assert world.warnings == []


def test_deletions_that_fail_are_told_and_cost_nothing(world: World) -> None:
    deletions: list[str] = []

    def no_deletions(path: str, write: object) -> None:
        if write.__qualname__.startswith("Watched.delete"):  # type: ignore[attr-defined]
            deletions.append(path)
            raise StorageUnavailable(f"{path} stays")
        write()  # type: ignore[operator]

    output = world.output()
    output.folder = Watched(output.folder, no_deletions)
    store = world.attempt(output, Checkpoints(keep_last=1, keep_best=0))
    store.newest(LINEAGE)
    for step in (10, 20, 30):
        store.save(snapshot(step))
    store.finish()
    discard_checkpoints(output.folder, world.warnings.append)
    assert [info.step for info in store.committed] == [10, 20, 30]
    assert deletions[:2] == ["checkpoints/1/10/MANIFEST.json"] * 2
    assert world.warnings[0] == "older checkpoints can't be deleted: checkpoints/1/10/MANIFEST.json stays"
    assert "nobody needs any more can't be deleted" in world.warnings[-1]


@pytest.mark.causes("Fenced")
def test_an_older_attempt_commits_and_deletes_nothing_any_more(world: World) -> None:
    older = world.attempt(keep=Checkpoints(keep_last=1, keep_best=0))
    older.newest(LINEAGE)
    older.save(snapshot(10))
    older.finish()
    newer = world.attempt()
    newer.newest(LINEAGE)
    before = world.stored()
    older.save(snapshot(20))
    with pytest.raises(Fenced, match=r"attempt 2 has taken over .* from this one, attempt 1"):
        older.finish()
    assert world.stored() == before
    with pytest.raises(Fenced):
        older.save(snapshot(30))
    newer.save(snapshot(20))
    newer.finish()
    assert [info.step for info in newer.committed] == [10, 20]


@pytest.mark.parametrize("moment", ["optimizer.safetensors", "MANIFEST.json"])
def test_a_claim_that_comes_during_an_upload_ends_it(world: World, moment: str) -> None:
    newer: list[object] = []

    def overtaken(path: str, write: object) -> None:
        if path.endswith(moment) and not newer:
            newer.append(world.output())
        write()  # type: ignore[operator]

    output = world.output()
    output.folder = Watched(output.folder, overtaken)
    older = world.attempt(output)
    older.newest(LINEAGE)
    older.save(snapshot(10))
    with pytest.raises(Fenced):
        older.finish()
    assert older.committed == (), "the newer one may have looked before the manifest came"
