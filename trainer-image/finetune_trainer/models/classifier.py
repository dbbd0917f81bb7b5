"""Builds `AutoModelForSequenceClassification` and its tokenizer for a label space."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable, UnsafeModel
from finetune_api.tasks import ProblemType
from finetune_trainer.models.anatomy import is_in_body
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

    Raises:
        ModelUnsuitable: there is no tokenizer, nothing to pad with, or the config is broken.
        UnsafeModel: the model brings its own code.
    """
    from transformers import AutoTokenizer

    _config(files)  # a model that can't be loaded is told as that, not as a tokenizer's trouble
    with loading(files.uri, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes an empty one where it finds no files
        raise ModelUnsuitable(f"{files.uri} has no tokenizer", where="spec.model.uri", hint=_TOKENIZER_HINT)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            message = f"{files.uri}: the tokenizer has neither a padding nor an end-of-text token"
            raise ModelUnsuitable(message, where="spec.model.uri", hint="set pad_token in tokenizer_config.json")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def position_limit(files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> int:
    """Longest input in tokens that the model can take.

    Models of the RoBERTa family count positions from their padding index, which costs them some.
    """
    config = _config(files)
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions and config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    return min(int(limit) for limit in (positions, tokenizer.model_max_length) if limit and limit > 0)


def check_architecture(files: ModelFiles) -> None:
    """Make sure, from the config alone, that transformers can classify with this architecture.

    Raises `ModelUnsuitable`, also for a broken config, and `UnsafeModel` for a model that brings its own code.
    """
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    config = _config(files)
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        message = f"{files.uri}: transformers has no sequence classification for {config.model_type} models"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=_BROKEN_HINT)


def _config(files: ModelFiles) -> Any:
    from transformers import AutoConfig

    with loading(files.uri, "config"):
        return AutoConfig.from_pretrained(files.folder, trust_remote_code=False)


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
        ModelUnsuitable: transformers has no sequence classification for this architecture, or the weights are broken,
            incomplete or of another shape than the config says.
        UnsafeModel: the model brings its own code.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    with loading(files.uri, "model"):
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            files.folder,
            dtype=torch.float32,  # half-precision weights would lose AdamW's small updates
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced
            output_loading_info=True,
            **_head(problem, names),
        )
    _check_body(model, loaded, files.uri)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _check_body(model: "PreTrainedModel", loaded: dict[str, Any], uri: str) -> None:
    """Refuse a body with weights that were made up at random, which transformers merely warns about."""
    names = sorted({*loaded["missing_keys"], *(name for name, *_shapes in loaded["mismatched_keys"])})
    made_up = [name for name in names if is_in_body(model, name)]
    if made_up:
        shown = f"{', '.join(made_up[:3])}{' ...' if len(made_up) > 3 else ''}"
        message = f"{uri}: {len(made_up)} weights are missing or of another shape than config.json says: {shown}"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=_BROKEN_HINT)


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
def loading(uri: str, what: str) -> Iterator[None]:
    """Load a part of a model in silence; raise `UnsafeModel` or `ModelUnsuitable` where transformers can't."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except (OSError, ValueError, TypeError, LookupError, SafetensorError, StrictDataclassError) as error:
        if isinstance(error, OSError) and error.errno not in (None, ENOENT):
            raise  # of the disk or the memory, not of the model
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            message = f"{uri} brings its own Python code, which is never run"
            hint = "use a model that transformers supports itself"
            raise UnsafeModel(message, where="spec.model.uri", hint=hint) from error
        words = " ".join(str(error).split())[:300]
        hint = _TOKENIZER_HINT if what == "tokenizer" else _BROKEN_HINT
        message = f"{uri}: the {what} can't be loaded: {words}"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=hint) from error


_TOKENIZER_HINT = "add tokenizer.json and tokenizer_config.json to the model's folder"
_BROKEN_HINT = "check that the files are complete and of one model, and that transformers can classify with it"


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
