"""Shared parts of text generation tasks: inference settings, and details of generated texts."""

import numpy as np

from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_trainer.data.prepared import Examples
from finetune_trainer.evaluation.generated_text import GeneratedTexts, all_references, describe_generated
from finetune_trainer.evaluation.trivial_answers import constant_answer_of
from finetune_trainer.training.generation.batches import TEXT, as_texts
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.token_scores import LOSS, TOKENS

_AROUND = ("input", "system", "history", "tools")


def kept_columns(report: DataReport) -> dict[str, str]:
    """Columns of prompt context by role, where the rows have them."""
    return {role: report.columns[role] for role in _AROUND if role in report.columns}


def details_of_texts(rows: Examples, outputs: Outputs, baseline: Outputs | None, seed: int) -> Details:
    """The least similar texts, and some drawn by `seed`; outputs: `LOSS`, `TOKENS` [n], `TEXT` [n, bytes]."""
    written = GeneratedTexts(
        rows=rows,
        texts=as_texts(outputs[TEXT]),
        losses=(outputs[LOSS] / np.maximum(1, outputs[TOKENS])).tolist(),
        baseline=as_texts(baseline[TEXT]) if baseline else [],
    )
    return describe_generated(written, seed)


def constant_text(rows: Examples, outputs: Outputs) -> str:
    """The single text generated for all inputs although references differ; else empty."""
    if TEXT not in outputs:
        return ""
    return constant_answer_of(as_texts(outputs[TEXT]), [" ".join(references) for references in all_references(rows)])
