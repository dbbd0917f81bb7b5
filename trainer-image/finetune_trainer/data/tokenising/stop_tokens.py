"""Stop token ids: end of text, and what a chat template renders after an answer."""

from typing import TYPE_CHECKING

from finetune_trainer.data.tokenising.chat_rendering import TemplateRefusesChat
from finetune_trainer.data.tokenising.prompt_formats import ChatPrompt, PromptFormat, probe_chat
from finetune_trainer.data.tokenising.special_tokens import encode, end_of_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "answer-probe"


def answer_ends(form: PromptFormat | None, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """End of text, and the template's tokens after an answer; `form` is None for raw text.

    Unknown, mask and other special tokens end nothing.
    """
    ends = end_of_text(tokenizer)
    if isinstance(form, ChatPrompt):
        nothing = {tokenizer.unk_token_id, tokenizer.mask_token_id}
        own = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder} - nothing
        ends += [token for token in encode([_behind_answer(form)], tokenizer)[0] if token in own]
    return list(dict.fromkeys(ends))


def _behind_answer(form: ChatPrompt) -> str:
    """Text that the template renders after an answer; empty where it does not render the probe verbatim."""
    try:
        text = form.template.text(probe_chat(_PROBE))
    except TemplateRefusesChat:
        return ""
    return text.rpartition(_PROBE)[2] if _PROBE in text else ""
