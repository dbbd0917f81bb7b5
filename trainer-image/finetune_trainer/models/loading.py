"""Quiet loading with transformers, and its errors as failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT

from finetune_api.failures import ModelUnsuitable, UnsafeModel

TOKENIZER_HINT = "add tokenizer.json and tokenizer_config.json to the model's folder"
BROKEN_HINT = "check that the files are complete and of one model, and that this version of transformers knows it"


@contextmanager
def loading(uri: str, what: str) -> Iterator[None]:
    """Load quietly inside the block; raise `UnsafeModel` or `ModelUnsuitable` for errors of transformers."""
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
        hint = TOKENIZER_HINT if what == "tokenizer" else BROKEN_HINT
        message = f"{uri}: the {what} can't be loaded: {words}"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=hint) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and load reports."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
