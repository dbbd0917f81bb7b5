"""Chats in the output of predictions, in the form in which `predict` reads them."""

from typing import Any

from finetune_trainer.data.chat import Chat


def as_messages(chat: Chat) -> dict[str, Any]:
    """`messages` with all their keys, and the variables of the chat (`tools`) beside them where there are some."""
    messages = []
    for turn in chat:
        keys = turn.keys
        parts = keys.get("content")
        content = [{"type": "text", "text": part} for part in parts] if parts else turn.content
        messages.append({"role": turn.role, **keys, "content": content})
    return {"messages": messages, **chat.parsed_variables}
