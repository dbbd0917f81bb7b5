"""Models to tune: those that are given, and those that are made first since none of their kind is at hand."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ours import run_ours
from quality.cases import BASES, ENCODER, STORIES, Case
from quality.rows import DERIVED, SPLITS, read_split, thin, write_rows

_ROOT = Path(__file__).parents[2]
_RANDOM_T5 = "random T5"
_T5 = {"d_model": 128, "d_kv": 32, "d_ff": 256}
_VOCABULARY = 2_000
_READ_BY_T5 = ("e2e_nlg", "xquad_en")


@dataclass(frozen=True)
class Place:
    """Where things lie."""

    data: Path
    """Folder with the data sets."""
    encoder: Path
    """Folder of the encoder."""
    work: Path
    """Folder for what is made."""


def rows_of(case: Case, place: Place) -> dict[str, Path]:
    """Files with the rows of a case, by split."""
    made = {}
    for split, count in zip(SPLITS, case.rows, strict=True):
        rows = DERIVED[case.derive](read_split(place.data / case.data, split))
        name = f"{case.data}{'-' if case.derive else ''}{case.derive}"
        made[split] = write_rows(thin(rows, count), place.work / "rows" / name / f"{split}-{count}.jsonl")
    return made


def model_of(name: str, place: Place) -> Path:
    """Folder of a model by its name in `Case.model`; made where it has to be."""
    given = {ENCODER: place.encoder, STORIES: _ROOT / "tests" / "models" / "stories260k"}
    if name in given:
        return given[name].absolute()
    folder = place.work / "bases" / name.replace(" ", "-")
    if not folder.exists():
        _random_t5(folder, place) if name == _RANDOM_T5 else _trained(name, folder, place)
    return folder.absolute()


def spec_of(case: Case, place: Place) -> dict[str, Any]:
    """`spec` of a job for the case, without method, settings of the training and output."""
    judge = model_of(case.judge, place) if case.judge else None
    return case.spec(rows_of(case, place), model_of(case.model, place), judge)


def _random_t5(folder: Path, place: Place) -> None:
    from encoder_decoders import write_encoder_decoder

    rows = [row for data in _READ_BY_T5 for row in read_split(place.data / data, "train")]
    texts = [value for row in rows for value in row.values() if isinstance(value, str)]
    write_encoder_decoder(folder, "t5", texts, _VOCABULARY, **_T5)


def _trained(name: str, folder: Path, place: Place) -> None:
    base = BASES[name]
    budget = {"epochs": base.epochs, "learningRate": base.learning_rate, "seed": 1}
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    run_ours({**spec_of(base.case, place), "method": {"type": "Full"}, "training": budget}, Path.cwd(), keep=unfinished)
    unfinished.rename(folder)
