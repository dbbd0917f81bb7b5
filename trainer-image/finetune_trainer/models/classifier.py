"""Builds `AutoModelForSequenceClassification` and its tokenizer for a label space."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable, UnsafeModel
from finetune_api.tasks import ProblemType
from finetune_trainer.models.files import ModelFiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PROBLEM = {
    ProblemType.SINGLE_LABEL: "single_label_classification",
    ProblemType.MULTI_LABEL: "multi_label_classification",
    ProblemType.REGRESSION: "regression",
}


def load_tokenizer(files: ModelFiles) -> "PreTrainedTokenizerBase":
    """Load the tokenizer; a model without a padding token gets its end-of-text token for that.

    Raises `ModelUnsuitable` where there is no tokenizer, or nothing to pad with.
    """
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(files.folder)
        except (OSError, ValueError, KeyError) as error:
            hint = "add tokenizer.json and tokenizer_config.json to the model's folder"
            raise ModelUnsuitable(f"{files.uri} has no tokenizer that loads: {error}", hint=hint) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelUnsuitable(f"{files.uri}: the tokenizer has neither a padding nor an end-of-text token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def position_limit(files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> int:
    """Longest input in tokens that the model can take.

    Models of the RoBERTa family count positions from their padding index, which costs them some.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(files.folder)
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions and config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    return min(int(limit) for limit in (positions, tokenizer.model_max_length) if limit and limit > 0)


_POSITIONS_AFTER_PADDING = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec-text",
}


def load_classifier(
    files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", problem: ProblemType, names: tuple[str, ...], seed: int
) -> "PreTrainedModel":
    """Load the model with a head for these labels, in FP32; a head that is new starts from `seed`.

    Raises:
        ModelUnsuitable: transformers has no sequence classification for this architecture.
        UnsafeModel: the model brings its own code.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    with quiet(), _translated(files.uri):
        model = AutoModelForSequenceClassification.from_pretrained(
            files.folder,
            dtype=torch.float32,  # half-precision weights would lose AdamW's small updates
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
            **_head(problem, names),
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _head(problem: ProblemType, names: tuple[str, ...]) -> dict[str, Any]:
    if problem is ProblemType.REGRESSION:
        return {"num_labels": 1, "problem_type": _PROBLEM[problem]}
    return {
        "num_labels": len(names),
        "problem_type": _PROBLEM[problem],
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            message = f"{uri} brings its own Python code, which is never run"
            raise UnsafeModel(message, hint="use a model that transformers supports itself") from error
        if "Unrecognized" in str(error) or "does not recognize" in str(error):
            raise ModelUnsuitable(f"{uri}: {_first_line(error)}", where="spec.model.uri") from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and load reports off the terminal; we say what matters ourselves."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
