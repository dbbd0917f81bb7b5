"""Base model without its weights: config and tokenizer, checked against the job."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_trainer.data.tokenising.word_tokens import check_word_ids
from finetune_trainer.models.assembly import check_mergeable
from finetune_trainer.models.classifier import load_tokenizer, position_limit, read_config
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.suitability import check_architecture, check_decoder_start, check_mask_token
from finetune_trainer.plan import resolve_values
from finetune_trainer.storage import Site

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class BaseModel:
    """Config and tokenizer of the base model."""

    files: ModelFiles
    """Its files; those of the weights may be missing."""
    config: Any
    """Its config.json, as transformers reads it."""
    tokenizer: "PreTrainedTokenizerBase"
    """Its tokenizer, with the chat template of the job where that has one."""
    limit: int
    """Longest input in tokens."""

    def check_ids(self, highest: int) -> None:
        """Raise `ModelUnsuitable` for a token of the tokenizer that the model has no embedding of."""
        size = getattr(self.config.get_text_config(), "vocab_size", None)
        if size is not None and highest >= size:
            raise token_without_embedding(self.files.uri, highest, size)


def open_base(spec: Spec, site: Site, tokenizer: "PreTrainedTokenizerBase | None" = None) -> BaseModel:
    """Download config and tokenizer of `spec.model`, and check that the job is possible with them.

    `tokenizer` goes before the model's own: results that are merged bring theirs.

    Raises:
        ModelNotFound, PermissionDenied, StorageUnavailable, UnsafeModel, ModelChanged: as `fetch_model` does.
        ModelUnsuitable: another task or kind of adapter, no tokenizer, or fewer tokens than `data.maxLength` asks for.
        SpecInvalid: `data.chatTemplate` is no template.
    """
    files = fetch_model(spec.model, site, weights=False)
    config = read_config(files)
    check_architecture(config, spec.task, files.uri)
    check_mergeable(files)
    if spec.task is Task.SEQ2SEQ:
        check_decoder_start(files, config)
    tokenizer = tokenizer or load_tokenizer(files)
    if spec.task is Task.MASKED_LM:
        check_mask_token(tokenizer, files.uri)
    if spec.task is Task.TOKEN_CLASSIFICATION:
        check_word_ids(tokenizer)
    if spec.data.chat_template:
        tokenizer.chat_template = spec.data.chat_template  # the tokenizer is saved with it
        _check_template(tokenizer)
    limit = position_limit(files, tokenizer)
    resolve_values(spec, limit)
    return BaseModel(files, config, tokenizer, limit)


def token_without_embedding(uri: str, highest: int, size: int) -> ModelUnsuitable:
    """The failure of a tokenizer with more tokens than the model has embeddings."""
    message = f"{uri}: the tokenizer makes token {highest}, but the model knows {size} tokens only"
    return ModelUnsuitable(message, where="spec.model.uri", hint="use the tokenizer that belongs to the model")


def _check_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise `SpecInvalid` for a chat template that Jinja can't parse; only rendering rows tells more."""
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    except TemplateSyntaxError as error:
        message = f"line {error.lineno} of the template: {error.message}"
        raise SpecInvalid(message, where="spec.data.chatTemplate", hint="fix the Jinja template") from error
    except (TemplateError, TypeError, ValueError, KeyError):
        return
