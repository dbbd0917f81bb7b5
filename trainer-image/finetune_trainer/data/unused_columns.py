"""Unused columns that likely belong to the training data. Pure."""

from collections.abc import Collection, Iterator, Mapping

from finetune_trainer.data.shapes.layouts import answered_columns
from finetune_trainer.data.text_pairs import second_text

_SYSTEMS = ("system_message", "system_instruction", "systeminstruction", "system_text")
_REASONING = ("reasoning", "reasoning_content", "thinking", "rationale", "chain_of_thought", "cot")


def without_role(roles: Mapping[str, str], columns: Collection[str]) -> list[str]:
    """Columns without a role, and without a path into them that has one (`translation.en`)."""
    used = {*roles.values(), *(column.partition(".")[0] for column in roles.values())}
    return [name for name in columns if name and name not in used]


def unused_columns(roles: Mapping[str, str], columns: Collection[str]) -> Iterator[str]:
    """Warnings about columns without a role; `roles` are the columns by role."""
    unused = without_role(roles, columns)
    if "label" in roles or "labels[0]" in roles:
        second = second_text(roles.get("text", ""), unused)
        if second and "text_pair" not in roles:
            yield f"Column '{second}' is not used: if labels are of both texts, set data.columns.textPair: {second}."
    elif set(roles) - {"group"} == {"text"}:
        yield from _prompts_as_text(roles["text"], unused)
    elif {"prompt", "messages"} & roles.keys():
        yield from _beside_prompts(roles, unused)


def _prompts_as_text(column: str, unused: Collection[str]) -> Iterator[str]:
    answered = answered_columns(unused)
    if answered:
        pairs = ", ".join(f"{role}: {name}" for role, name in answered.items())
        yield (
            f"Rows are learned as raw text, from '{column}'; to learn the answers alone, set data.columns: {{{pairs}}}."
        )


def _beside_prompts(roles: Mapping[str, str], unused: Collection[str]) -> Iterator[str]:
    for name in unused:
        if name.lower() in _SYSTEMS and "system" not in roles:
            yield f"Column '{name}' is not used: if it is the system prompt, set data.columns.system: {name}."
        if name.lower() in _REASONING:
            yield (
                f"Column '{name}' is not used: to learn it, write it into the answer, or into the assistant's message"
                " as reasoning_content."
            )
