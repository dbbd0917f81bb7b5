"""Claims: numbered create-only files that order the attempts of a job and fence older ones.

Some stores can't write create-only. There a claim has a random token in its name, so that none is written over, and
the highest number, then the highest token, owns the output.
"""

import json
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex

from finetune_api.failures import Fenced, OutputExists, OutputNotWritable
from finetune_trainer.storage import Folder, NotCreateOnlyError, Patience, commit

_FOLDER = "claims"
_NAME = re.compile(r"([1-9][0-9]{0,8})(?:-([0-9a-f]{8}))?")
_MOST_TRIES = 100


@dataclass(frozen=True, order=True)
class Claim:
    """One attempt's right to write; ordered by number."""

    number: int
    """From 1, counted over all attempts of the job; 0 is nobody's."""
    token: str = ""
    """Makes the name unique where the store can't; empty elsewhere."""

    def __str__(self) -> str:
        """The name of its file."""
        return f"{self.number}-{self.token}" if self.token else str(self.number)

    @property
    def conditional(self) -> bool:
        """Whether the store supports create-only writes."""
        return not self.token

    @property
    def path(self) -> str:
        """Its path in the output."""
        return f"{_FOLDER}/{self}"


NOBODY = Claim(0)
"""What is there before the first claim."""


def parse_claim(name: str) -> Claim | None:
    """The claim with that file name; None for anything else."""
    found = _NAME.fullmatch(name)
    return Claim(int(found[1]), found[2] or "") if found else None


def take_claim(folder: Folder) -> Claim:
    """Create the next claim of an output folder, which fences all older attempts.

    Also proves, before any training, that the folder can be written, and finds out whether it writes create-only.
    Raises `OutputNotWritable`.
    """
    token = token_hex(4)
    content = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname(), "token": token}
    written = json.dumps(content).encode()
    for _ in range(_MOST_TRIES):
        newest = newest_claim(folder)
        claim = Claim(newest.number + 1, "" if newest.conditional else token)
        try:
            if claim.conditional and not _taken(folder, claim, written):
                claim = Claim(claim.number + 1, token)
        except OutputExists:  # another attempt was faster
            continue
        if claim.conditional:
            return claim
        folder.put(claim.path, written)
        if newest_claim(folder) == claim:
            return claim
    hint = "end what keeps starting this job, or give it another spec.output.uri"
    raise OutputNotWritable(f"{folder.uri()} is claimed over and over", where="spec.output.uri", hint=hint)


def newest_claim(folder: Folder) -> Claim:
    """The claim that owns an output folder; `NOBODY` without one."""
    claims = (parse_claim(path.removeprefix(f"{_FOLDER}/")) for path, _ in folder.list(_FOLDER))
    return max((claim for claim in claims if claim is not None), default=NOBODY)


def check_claim(folder: Folder, claim: Claim) -> None:
    """Raise `Fenced` where a newer attempt owns the folder."""
    newest = newest_claim(folder)
    if newest > claim:
        hint = f"nothing is lost: attempt {newest} does the same work"
        raise Fenced(f"attempt {newest} has taken over {folder.uri()} from this one, attempt {claim}", hint=hint)


def _taken(folder: Folder, claim: Claim, content: bytes) -> bool:
    """Write the claim create-only; False where the store can't, which a second successful write shows.

    Raises `OutputExists` where another attempt has that number.
    """
    try:
        commit(folder, claim.path, content, patience=Patience())
        folder.put_new(claim.path, content)
    except NotCreateOnlyError:
        return False
    except OutputExists:
        if folder.get(claim.path) == content:
            return True
        raise
    return False
