"""What models that were tuned on prompts and chats need at prediction."""

from typing import Any

from finetune_api.data_report import DataReport
from finetune_api.spec import Spec

_AROUND = ("input", "system", "history", "tools")


def chat_settings(spec: Spec) -> dict[str, Any]:
    """Fields of `InferenceSettings` that say how text is encoded."""
    return {"split_special_tokens": spec.data.split_special_tokens is not False}


def kept_columns(report: DataReport) -> dict[str, str]:
    """Column by role for what stands around a prompt, where the rows have it."""
    return {role: report.columns[role] for role in _AROUND if role in report.columns}
