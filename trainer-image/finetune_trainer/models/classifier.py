"""Loading of models for text and token classification, and of tokenizers."""

from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable
from finetune_api.tasks import ProblemType, Task
from finetune_trainer.models.assembly import assemble_merged, load_whole
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.loading import TOKENIZER_HINT, loading
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.module_names import output_size, renew_output_layer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PROBLEM = {
    ProblemType.SINGLE_LABEL: "single_label_classification",
    ProblemType.MULTI_LABEL: "multi_label_classification",
    ProblemType.REGRESSION: "regression",
}


def load_tokenizer(files: ModelFiles) -> "PreTrainedTokenizerBase":
    """Load the tokenizer; without a padding token it pads with its end-of-text token.

    Raises:
        ModelUnsuitable: there is no tokenizer, nothing to pad with, or the config is broken.
        UnsafeModel: the model brings its own code.
    """
    from transformers import AutoTokenizer

    read_config(files)  # a model that can't be loaded is told as that, not as a tokenizer's trouble
    with loading(files.uri, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes an empty one where it finds no files
        raise ModelUnsuitable(f"{files.uri} has no tokenizer", where="spec.model.uri", hint=TOKENIZER_HINT)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            message = f"{files.uri}: the tokenizer has neither a padding nor an end-of-text token"
            raise ModelUnsuitable(message, where="spec.model.uri", hint="set pad_token in tokenizer_config.json")
        tokenizer.pad_token = tokenizer.eos_token
    with loading(files.uri, "tokenizer"):
        tokenizer("a", verbose=False)  # what can't encode a letter can't encode a row
    return tokenizer


def position_limit(files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> int:
    """Maximum input length of the model in tokens.

    Models of the RoBERTa family count positions from their padding index, which costs them some.
    """
    config = read_config(files)
    if config.model_type in _RELATIVE_POSITIONS:
        return _NO_LIMIT
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions and config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    return min(int(limit) for limit in (positions, tokenizer.model_max_length) if limit and limit > 0)


def read_config(files: ModelFiles) -> Any:
    """The model's config.json. Raises `ModelUnsuitable` for a broken one, `UnsafeModel` for remote code."""
    from transformers import AutoConfig

    with loading(files.uri, "config"):
        return AutoConfig.from_pretrained(files.folder, trust_remote_code=False)


_RELATIVE_POSITIONS = {"t5", "mt5", "umt5", "longt5", "switch_transformers"}
"""Their tokenizers name the length of their pretraining, which is no limit."""
_NO_LIMIT = 1_048_576
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
    files: ModelFiles,
    tokenizer: "PreTrainedTokenizerBase",
    problem: ProblemType,
    names: tuple[str, ...],
    seed: int,
    *,
    how: ModelLoading = FP32,
) -> "PreTrainedModel":
    """Load the model with a head for these text labels; adapters are merged.

    A head that was trained for the same labels in the same order is kept; a new one starts from `seed`.

    Raises:
        ModelUnsuitable: transformers has no sequence classification for this architecture, or the weights are broken,
            incomplete or of another shape than the config says; or an adapter can't be merged.
        UnsafeModel: the model brings its own code.
    """
    return _load(files, tokenizer, Task.SEQUENCE_CLASSIFICATION, _labels(problem, names), seed=seed, how=how)


def load_tagger(
    files: ModelFiles,
    tokenizer: "PreTrainedTokenizerBase",
    tags: tuple[str, ...],
    seed: int,
    how: ModelLoading = FP32,
) -> "PreTrainedModel":
    """Load the model with a head for these tags of words; adapters are merged."""
    return _load(files, tokenizer, Task.TOKEN_CLASSIFICATION, _named(tags), seed=seed, how=how)


def _load(
    files: ModelFiles,
    tokenizer: "PreTrainedTokenizerBase",
    task: Task,
    labels: dict[str, Any],
    *,
    seed: int,
    how: ModelLoading,
) -> "PreTrainedModel":
    import torch

    torch.manual_seed(seed)
    with loading(files.uri, "model"):
        had = read_config(files)
        is_whole = files.base is None
        model = load_whole(files, task, how, **labels) if is_whole else assemble_merged(files, task, how)
    if output_size(model) != labels["num_labels"] or _means_other_labels(had, labels):
        renew_output_layer(model, labels["num_labels"])
    model.config.update(labels)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def head_note(files: ModelFiles, model: "PreTrainedModel") -> str:
    """Note on the head of an already tuned model (kept or replaced); empty without one, or for text generation."""
    had, have = _names(read_config(files)), _names(model.config)
    if not had or model.get_output_embeddings() is not None:
        return ""
    if had == have:
        return f"the head of {files.uri} is for these labels: training continues from it"
    return f"the head of {files.uri} is for other labels ({', '.join(had[:5])}): a new one is trained"


def _means_other_labels(config: Any, labels: dict[str, Any]) -> bool:
    """Whether a head of the right size has other label names, or the same in another order."""
    names = _names(config)
    return len(names) == labels["num_labels"] and names != list(labels.get("id2label", {}).values())


def _names(config: Any) -> list[str]:
    """Label names of a head; empty where they are only numbered, as without a head."""
    names = [str(config.id2label[index]) for index in sorted(config.id2label or {})]
    return [] if names == [f"LABEL_{index}" for index in range(len(names))] else names


def _labels(problem: ProblemType, names: tuple[str, ...]) -> dict[str, Any]:
    if problem is ProblemType.REGRESSION:
        return {"num_labels": 1, "problem_type": _PROBLEM[problem]}
    return _named(names) | {"problem_type": _PROBLEM[problem]}


def _named(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }
