"""`spec.predict`: batch prediction at the end of a job with its exported model."""

import json
from pathlib import Path

from finetune_api.spec import Spec
from finetune_trainer.data.rows_to_predict import input_of
from finetune_trainer.models.adapters import is_adapter
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.tuned import load_tuned
from finetune_trainer.observer import Monitor
from finetune_trainer.prediction.rows import predict_file, predictor_of
from finetune_trainer.storage import Site


def write_predictions(
    folder: Path, trained_from: ModelFiles, spec: Spec, site: Site, *, target: Path, monitor: Monitor
) -> None:
    """Predict with the model in `folder` and write one JSON line per row to `target`.

    `trained_from` is the base that an adapter in the folder belongs to. Raises the failures of reading the rows.
    """
    base = trained_from if is_adapter(folder) else None
    predictor = predictor_of(load_tuned(ModelFiles(str(folder), folder, "", str(folder), base)))
    with target.open("w", encoding="utf-8") as stream:
        for prediction in predict_file(predictor, input_of(spec), site):
            stream.write(json.dumps(prediction.as_dict(), ensure_ascii=False) + "\n")
            monitor.advance(1)
            monitor.stop.check()
