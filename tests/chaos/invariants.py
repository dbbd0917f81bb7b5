"""What must hold after each attempt, read from the store's own disk and with no code of the trainer's."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import Ended, Site, Trial

from finetune_api.checkpoint import CHECKPOINTS, CheckpointManifest
from finetune_api.manifest import MANIFEST_NAME, FileEntry, Manifest
from finetune_api.outcome import Outcome

STOPPED = {85, 130}
_SENTINELS = ("other.txt", "team-a/other/x/MANIFEST.json", "team-a/tickets/another/checkpoints/1/4/MANIFEST.json")


class Violation(AssertionError):  # noqa: N818 -- it is one of an invariant
    """Something that must never happen has happened."""


@dataclass(frozen=True)
class Committed:
    """A checkpoint in the store, every byte of it verified."""

    attempt: int
    step: int
    resumed_from: int | None


@dataclass(frozen=True)
class Reference:
    """What a run that nobody disturbs leaves."""

    weights: str
    """SHA-256 of the tuned weights."""
    curves: list[Any]
    steps: int
    writes: int
    """Requests that write."""
    seconds: float


def reference_of(trial: Trial, writes: int, seconds: float) -> Reference:
    """The reference from a finished trial."""
    report = _report(trial)
    return Reference(_weights(trial), report["curves"], report["curves"][-1]["step"], writes, seconds)


def place_sentinels(site: Site) -> None:
    """Put objects beside those of the jobs, which nobody may touch."""
    for name in _SENTINELS:
        file = site.bucket / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"never touch {name}")


def committed(trial: Trial) -> list[Committed]:
    """All checkpoints in the store, oldest first. Raises `Violation` for a manifest that does not hold."""
    found = []
    for file in (trial.folder / CHECKPOINTS).glob(f"*/*/{MANIFEST_NAME}"):
        manifest = CheckpointManifest.model_validate_json(file.read_bytes())
        check_that(manifest.uid == trial.uid, f"{file} is of {manifest.uid}")
        place = (str(manifest.attempt), str(manifest.step))
        check_that(file.parent.parts[-2:] == place, f"{file} says that it is {place}")
        _check_files(file.parent, manifest.files)
        found.append(Committed(manifest.attempt, manifest.step, manifest.resumed_from))
    return sorted(found, key=lambda one: (one.step, one.attempt))


def check_attempt(trial: Trial, before: list[Committed], ended: Ended) -> list[Committed]:
    """Check the store after an attempt that began with the checkpoints `before`; returns those that are there now."""
    now = committed(trial)
    check_that(not ended.hung, "it did not end")
    done = (trial.folder / MANIFEST_NAME).exists()
    check_that(done or _newest(now) >= _newest(before), f"committed steps were lost: {before} became {now}")
    own = [one for one in now if one not in before]
    base = _newest(before) or None
    for one in own:
        check_that(one.resumed_from == base, f"{one} went on from another step than the newest committed, {base}")
    told = ended.told
    if told is not None and told.steps and told.attempt:  # without a claim it found a result, and tells of that
        check_that(told.resumed_from == base, f"it says that it went on from {told.resumed_from}, not from {base}")
    if told is not None and told.checkpoint is not None and not done:
        check_that(
            told.checkpoint.step == _newest(now), f"it says that its newest checkpoint is {told.checkpoint.step}"
        )
    _check_outside(trial)
    check_that(done or ended.code != 0, "exit code 0 without a final manifest")
    if done:
        _check_final(trial)
    return now


def check_that(holds: bool, words: str) -> None:
    """Raise `Violation` with these words unless it holds."""
    if not holds:
        raise Violation(words)


def check_code(ended: Ended, allowed: set[int]) -> None:
    """Raise `Violation` for an end that what was done to the attempt does not explain."""
    check_that(ended.code in allowed, f"it ended unexpectedly: {ended}")


def check_end(trial: Trial, ended: Ended, reference: Reference) -> None:
    """Check a job that came to its end: the same result as if nothing had happened, and nothing left over."""
    check_code(ended, {0})
    told = ended.told
    check_that(told is not None and told.outcome is Outcome.SUCCEEDED, "its message does not say that it succeeded")
    content = (trial.folder / MANIFEST_NAME).read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    check_that(told is not None and told.artifacts.digest == digest, "its message has another digest than the manifest")
    check_that(_weights(trial) == reference.weights, "the weights differ from those of an undisturbed run")
    curves = _report(trial)["curves"]
    check_that(curves == reference.curves, f"the curves differ:\n{curves}\n{reference.curves}")
    _check_leftovers(trial)


def _check_leftovers(trial: Trial) -> None:
    """Nothing lies in the output but claims and what the final manifest names: checkpoints are gone."""
    manifest = Manifest.model_validate_json((trial.folder / MANIFEST_NAME).read_bytes())
    named = {MANIFEST_NAME, *(entry.path for entry in manifest.files)}
    found = {file.relative_to(trial.folder).as_posix() for file in trial.folder.rglob("*") if file.is_file()}
    left = sorted(path for path in found - named if not path.startswith("claims/"))
    check_that(not left, f"left over: {left}")


def _check_final(trial: Trial) -> None:
    manifest = Manifest.model_validate_json((trial.folder / MANIFEST_NAME).read_bytes())
    check_that(manifest.uid == trial.uid, f"the final manifest is of {manifest.uid}")
    _check_files(trial.folder, manifest.files)


def _check_files(folder: Path, files: list[FileEntry]) -> None:
    for entry in files:
        file = folder / entry.path
        check_that(file.is_file(), f"{file} is in a manifest, and missing")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        check_that(found == entry.sha256, f"{file} is not what its manifest says")


def _check_outside(trial: Trial) -> None:
    outside = [path for path in trial.touched if not path.startswith(trial.prefix)]
    check_that(not outside, f"touched outside of its prefix: {outside}")
    for name in _SENTINELS:
        found = (trial.site.bucket / name).read_text()
        check_that(found == f"never touch {name}", f"{name} was touched")


def _weights(trial: Trial) -> str:
    return hashlib.sha256((trial.folder / "model/model.safetensors").read_bytes()).hexdigest()


def _report(trial: Trial) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((trial.folder / "report/report.json").read_text())
    return report


def _newest(checkpoints: list[Committed]) -> int:
    return max((one.step for one in checkpoints), default=0)
