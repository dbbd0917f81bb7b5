"""Last-token pooling of decoders for inputs given as embeddings instead of token ids.

Classification heads of decoders look at the last token that is not padding. They know it by its id; where virtual
tokens come first there are embeddings only, and they take the last position, padding or not. PEFT leaves it at that.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def show_last_token(model: "PreTrainedModel") -> None:
    """Make the body of `model` move the last token's vector to the last position, given embeddings and a mask.

    Heads that look at the first position, or leave padding out, are not affected; of an encoder and a decoder, the
    mask is the one's and the last token the other's, and nothing is done.
    """
    if model.config.is_encoder_decoder:
        return
    last: list[Tensor] = []

    def remember(_module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        last.clear()
        mask = inputs.get("attention_mask")
        if inputs.get("input_ids") is None and inputs.get("inputs_embeds") is not None and mask is not None:
            last.append(mask.shape[1] - 1 - mask.flip(1).argmax(dim=1))

    def move(_module: Any, _args: Any, output: Any) -> Any:
        if last:
            hidden = output.last_hidden_state
            rows = torch.arange(len(hidden), device=hidden.device)
            output.last_hidden_state = torch.cat([hidden[:, :-1], hidden[rows, last.pop()][:, None]], dim=1)
        return output

    model.register_forward_pre_hook(remember, with_kwargs=True)
    getattr(model, model.base_model_prefix).register_forward_hook(move)
