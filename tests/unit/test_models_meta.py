"""Models on the meta device, and the values that they get where a method tries what they do."""

import torch
from transformers import MixtralConfig, MixtralForCausalLM

from finetune_trainer.models.meta_model import give_values, is_on_meta


def test_values_take_little_memory_also_where_experts_are_one_weight() -> None:
    config = MixtralConfig(
        vocab_size=32, hidden_size=64, intermediate_size=512, num_local_experts=32, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    with torch.device("meta"):
        model = MixtralForCausalLM(config)
    give_values(model)
    assert not is_on_meta(model)
    experts = [weight for weight in model.parameters() if weight.ndim == 3]
    assert sum(weight.numel() for weight in experts) == 3 * 32 * (2 * 512 * 64 + 512 * 64)
    storages = {weight.untyped_storage().data_ptr(): weight.untyped_storage().nbytes() for weight in experts}
    assert sum(storages.values()) == 4 * (2 * 512 * 64 + 512 * 64)
    assert model(torch.tensor([[1, 2]])).logits.isfinite().all()
