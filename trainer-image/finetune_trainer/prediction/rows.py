"""Predictions for the rows of a file with the model at an address, in batches."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import Any

from finetune_api.failures import DataEmpty, ModelNotFound, NotBuiltYet
from finetune_api.inference import INFERENCE_NAME
from finetune_api.manifest import MANIFEST_NAME
from finetune_api.model import ModelSource
from finetune_trainer.data.reading.input_files import InputFile
from finetune_trainer.data.reading.inputs import input_name, read_inputs
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.tuned import TunedModel, load_tuned
from finetune_trainer.prediction import PREDICTORS
from finetune_trainer.prediction.predictor import Prediction, Predictor
from finetune_trainer.storage import Site, open_folder

_ROWS_AT_ONCE = 1_024


def predict_rows(
    model_uri: str, rows: InputFile, site: Site, columns: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Prediction]:
    """Predict all rows of a file in order, streamed in batches.

    `columns` says, by role (`text`, `text_pair`, ...), where the rows have other columns than the training rows had.
    Raises the failures of loading the model and of reading the rows, `DataEmpty` where there are none.
    """
    tuned = with_columns(load_tuned(tuned_files(model_uri, site)), columns)
    yield from predict_file(predictor_of(tuned), as_trained(rows, tuned), site)


def as_trained(rows: InputFile, tuned: TunedModel) -> InputFile:
    """The input with the file settings of the model's training where it leaves them open."""
    return replace(rows, trained=tuned.settings.files)


def with_columns(tuned: TunedModel, columns: Mapping[str, str]) -> TunedModel:
    """The model with other columns for the roles in `columns`."""
    roles = {role: column for role, column in columns.items() if column}
    settings = tuned.settings.model_copy(update={"columns": tuned.settings.columns.model_copy(update=roles)})
    return TunedModel(tuned.model, tuned.tokenizer, settings)


def predictor_of(tuned: TunedModel) -> Predictor[Any]:
    """The predictor of a model's task. Raises `NotBuiltYet` for a task without one."""
    task = tuned.settings.task
    if task not in PREDICTORS:
        hint = f"this version can predict with models of {', '.join(PREDICTORS)}"
        raise NotBuiltYet(f"prediction with models of {task} is not built yet", hint=hint)
    return PREDICTORS[task](tuned)


def predict_file(predictor: Predictor[Any], file: InputFile, site: Site) -> Iterator[Prediction]:
    """Predict all rows of a file. Raises the failures of reading it, `DataEmpty` for an empty one."""
    rows = read_inputs(file, site, predictor)
    part = list(islice(rows, _ROWS_AT_ONCE))
    if not part:
        message = "there is no row to predict"
        raise DataEmpty(message, where=input_name(file), hint="give at least one text, or a file with rows")
    while part:
        yield from predictor.predict(part)
        part = list(islice(rows, _ROWS_AT_ONCE))


def tuned_files(uri: str, site: Site) -> ModelFiles:
    """The exported model of a run: `uri` is its output folder, or `model/` in it."""
    folder = open_folder(uri, site, missing=ModelNotFound)
    if not (folder.exists(MANIFEST_NAME) or folder.exists(INFERENCE_NAME)):
        raise ModelNotFound(f"no tuned model at {uri}", hint=_what_is_there([path for path, _ in folder.list()]))
    return fetch_model(ModelSource(uri=uri), site)


def _what_is_there(paths: list[str]) -> str:
    """Hint from the files of a folder that is no exported model."""
    manifests = [path.removesuffix(f"/{MANIFEST_NAME}") for path in paths if path.endswith(f"/{MANIFEST_NAME}")]
    finished = sorted(path for path in manifests if "checkpoints" not in path.split("/"))
    if finished:
        return f"finished runs in it: {', '.join(finished[-3:])}; add one to the path"
    if any(path.startswith("claims/") for path in paths):
        return "this run was not finished: it has no MANIFEST.json; its report says why"
    return "give the output folder of a run (the one with MANIFEST.json), or its model folder"
