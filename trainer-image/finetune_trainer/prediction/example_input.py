"""Example input of a fine-tuned model, as a line for standard input. Pure."""

import json

from finetune_api.inference import InferenceSettings
from finetune_api.tasks import Task

_TEXT = "your text"


def example_input(settings: InferenceSettings, mask_token: str | None) -> str:
    """A text, or a JSON object for several fields; with the tokenizer's mask for masked models."""
    columns = settings.columns
    if settings.task is Task.MASKED_LM:
        return f"your {mask_token or '[MASK]'} text"
    if settings.task is Task.REWARD_MODEL:
        answer = "an answer"
        if columns.prompt:
            return json.dumps({columns.prompt: _TEXT, columns.completion or "completion": answer})
        messages = [{"role": "user", "content": _TEXT}, {"role": "assistant", "content": answer}]
        return json.dumps({columns.messages or "messages": messages})
    if settings.task is Task.SEQ2SEQ and (columns.question or columns.context):
        given = {
            columns.question or "question": "your question",
            columns.context or "context": "a text that answers it",
        }
        return json.dumps(given)
    if settings.task is Task.SEQUENCE_CLASSIFICATION and columns.text_pair:
        return json.dumps({columns.text or "text": _TEXT, columns.text_pair: "your second text"})
    return _TEXT
