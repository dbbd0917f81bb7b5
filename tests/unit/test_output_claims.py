import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_worlds import Watched
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.failures import Fenced, OutputExists, OutputNotWritable, StorageUnavailable
from finetune_api.output import Output
from finetune_trainer.output.claims import NOBODY, Claim, check_claim, newest_claim, parse_claim, take_claim
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.storage import Folder, NotCreateOnlyError, Site, commit, open_folder

Write = Callable[[], None]


class Ignoring(Watched):
    """A store that takes no notice of conditions."""

    def put_new(self, path: str, data: bytes) -> None:
        self.put(path, data)


class Refusing(Watched):
    """A store that refuses conditions."""

    def put_new(self, path: str, data: bytes) -> None:
        raise NotCreateOnlyError(f"{path} ({len(data)} bytes)")


def plainly(_path: str, write: Write) -> None:
    write()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder("file://./out", Site(tmp_path), missing=OutputNotWritable)


@given(st.integers(1, 999_999_999), st.sampled_from(["", "0a1b2c3d", "ffffffff"]))
def test_names_of_claims_are_read_back(number: int, token: str) -> None:
    assert parse_claim(str(Claim(number, token))) == Claim(number, token)


@pytest.mark.parametrize("name", ["", "0", "01", "-1", "1-", "1-xyz", "1-0A1B2C3D", "notes.txt", "1/2", "٣", "1" * 10])
def test_other_names_are_no_claims(name: str) -> None:
    assert parse_claim(name) is None


def test_a_claim_is_numbered_and_says_who_made_it(folder: Folder) -> None:
    assert newest_claim(folder) == NOBODY
    assert [str(take_claim(folder)) for _ in range(3)] == ["1", "2", "3"]
    assert json.loads(folder.get("claims/2")).keys() == {"time", "host", "token"}
    assert newest_claim(folder) == Claim(3)


def test_an_answer_that_is_lost_costs_no_number(folder: Folder) -> None:
    """The client makes the write again, and finds its own."""

    class Repeating(Watched):
        def put_new(self, path: str, data: bytes) -> None:
            super().put_new(path, data)
            super().put_new(path, data)

    assert take_claim(Repeating(folder, plainly)) == Claim(1)


def test_of_several_that_meet_none_gives_up(folder: Folder) -> None:
    """S3 answers a conflict to writers that meet, though none of them has won."""
    conflicts = []

    class Conflicting(Watched):
        def put_new(self, path: str, data: bytes) -> None:
            if len(conflicts) < 2:
                conflicts.append(path)
                raise OutputExists("409")
            super().put_new(path, data)

    commit(Conflicting(folder, plainly), "MANIFEST.json", b"x")
    assert folder.get("MANIFEST.json") == b"x"
    assert len(conflicts) == 2


@pytest.mark.parametrize("conditional", [True, False])
def test_what_another_has_written_stays(folder: Folder, conditional: bool) -> None:
    commit(folder, "MANIFEST.json", b"theirs", conditional=conditional)
    with pytest.raises(OutputExists):
        commit(folder, "MANIFEST.json", b"ours", conditional=conditional)
    commit(folder, "MANIFEST.json", b"theirs", conditional=conditional)
    assert folder.get("MANIFEST.json") == b"theirs"


@pytest.mark.parametrize("kind", [Ignoring, Refusing])
def test_without_conditions_names_are_unique(folder: Folder, kind: type[Watched]) -> None:
    claims = [take_claim(kind(folder, plainly)) for _ in range(3)]
    assert not any(claim.conditional for claim in claims)
    assert claims == sorted(claims)
    assert len({claim.token for claim in claims}) == 3
    assert newest_claim(folder) == claims[-1]
    for claim in claims[:-1]:
        with pytest.raises(Fenced):
            check_claim(folder, claim)
    check_claim(folder, claims[-1])


@pytest.mark.parametrize("kind", [Ignoring, Refusing])
def test_without_conditions_of_many_at_once_one_owns_the_output(folder: Folder, kind: type[Watched]) -> None:
    taken: list[Claim] = []
    together = threading.Barrier(6)

    def start() -> None:
        together.wait()
        taken.append(take_claim(kind(folder, plainly)))

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 6
    owners = [claim for claim in taken if claim == newest_claim(folder)]
    assert len(owners) == 1


def test_of_the_same_number_the_higher_token_owns(folder: Folder) -> None:
    for name in ("4", "4-00000001", "4-0000000f"):
        folder.put(f"claims/{name}", b"{}")
    check_claim(folder, Claim(4, "0000000f"))
    for claim in (Claim(4), Claim(4, "00000001")):
        with pytest.raises(Fenced, match="attempt 4-0000000f has taken over"):
            check_claim(folder, claim)


@pytest.mark.parametrize("kind", [Ignoring, Refusing])
def test_the_weaker_protection_is_told(tmp_path: Path, kind: type[Watched]) -> None:
    heard: list[str] = []
    output = OutputFolder(Output(uri="file://./runs"), Site(tmp_path), "reviews", "uid-1")
    output.folder = kind(output.folder, plainly)
    output.claim(heard.append)
    assert len(heard) == 1
    assert "the store can't write create-only (If-None-Match)" in heard[0]
    output.commit("MANIFEST.json", b"x")
    with pytest.raises(Fenced):
        output.commit("MANIFEST.json", b"y")
    assert output.folder.get("MANIFEST.json") == b"x"


def test_the_full_protection_is_not_worth_a_word(tmp_path: Path) -> None:
    output = OutputFolder(Output(uri="file://./runs"), Site(tmp_path), "reviews", "uid-1")
    output.claim(pytest.fail)
    assert output.held == Claim(1)


@pytest.mark.causes("OutputNotWritable")
def test_an_output_that_is_claimed_over_and_over(folder: Folder) -> None:
    class Contended(Watched):
        def put_new(self, path: str, data: bytes) -> None:  # noqa: ARG002 -- another one is always faster
            super().put_new(path, b"another")
            raise OutputExists(path)

    with pytest.raises(OutputNotWritable, match="claimed over and over"):
        take_claim(Contended(folder, plainly))


def test_a_store_that_does_not_answer_is_not_taken_for_one_without_conditions(folder: Folder) -> None:
    class Silent(Watched):
        def put_new(self, path: str, data: bytes) -> None:
            if folder.exists(path):
                raise StorageUnavailable("no answer")
            super().put_new(path, data)

    with pytest.raises(StorageUnavailable):
        take_claim(Silent(folder, plainly))
