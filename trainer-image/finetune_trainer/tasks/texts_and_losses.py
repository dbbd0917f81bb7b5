"""Details of tasks whose model writes a text for each row, and is scored token by token on the expected one."""

import numpy as np

from finetune_api.details import Details
from finetune_trainer.data.prepared import Examples
from finetune_trainer.evaluation.generated_text import GeneratedTexts, all_references, describe_generated
from finetune_trainer.evaluation.trivial_answers import one_answer
from finetune_trainer.training.generation.batches import TEXT, as_texts
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.token_scores import LOSS, TOKENS


def details_of_texts(rows: Examples, outputs: Outputs, baseline: Outputs | None, seed: int) -> Details:
    """The least fitting texts, and some drawn by `seed`; outputs hold `LOSS` and `TOKENS` [n] and `TEXT` [n, bytes]."""
    written = GeneratedTexts(
        rows=rows,
        texts=as_texts(outputs[TEXT]),
        losses=(outputs[LOSS] / np.maximum(1, outputs[TOKENS])).tolist(),
        baseline=as_texts(baseline[TEXT]) if baseline else [],
    )
    return describe_generated(written, seed)


def constant_text(rows: Examples, outputs: Outputs) -> str:
    """The text that is written behind every input although different ones are expected; else nothing."""
    if TEXT not in outputs:
        return ""
    return one_answer(as_texts(outputs[TEXT]), [" ".join(references) for references in all_references(rows)])
