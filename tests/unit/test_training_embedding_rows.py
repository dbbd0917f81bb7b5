import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finetune_api.tasks import ProblemType
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.speedups.embedding_rows import RestrictedEmbedding, restricted_embedding, used_token_ids

Train = Callable[..., Any]
Make = Callable[..., Any]
CLASSES = torch.arange(24) % 3


def used_by(rows: Any, tokenizer: Any) -> torch.Tensor:
    return used_token_ids([rows._tokens.ids], tokenizer.pad_token_id)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "modernbert"])
def test_training_used_rows_alone_changes_nothing(
    kind: str, tiny_classifier: Make, tiny_rows: Make, train: Train, sentences: list[str]
) -> None:
    _, tokenizer, model = tiny_classifier(kind)
    start, rows, objective = state(model), tiny_rows(sentences, tokenizer), Objective(ProblemType.SINGLE_LABEL)
    plain = copy.deepcopy(model)
    expected = train(plain, rows, CLASSES, objective, learning_rate=1e-3)
    with restricted_embedding(model, used_by(rows, tokenizer)):
        assert isinstance(model.get_input_embeddings(), RestrictedEmbedding)
        result = train(model, rows, CLASSES, objective, learning_rate=1e-3)
    assert [point.loss for point in result.curves] == pytest.approx([point.loss for point in expected.curves], rel=1e-5)
    found, wanted = state(model), state(plain)
    assert found.keys() == wanted.keys() == start.keys()
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, atol=2e-5), name
    table = model.get_input_embeddings().weight
    name = next(name for name, parameter in model.named_parameters() if parameter is table)
    unused = np.setdiff1d(np.arange(len(table)), used_by(rows, tokenizer))
    assert len(unused)
    assert torch.equal(found[name][unused], start[name][unused])
    assert not torch.equal(found[name], start[name]), "used rows are trained and written back"


def test_the_padding_token_in_a_text_is_not_trained(
    tiny_classifier: Make, tiny_rows: Make, train: Train, sentences: list[str]
) -> None:
    """`nn.Embedding` gives its padding row no gradient, wherever it occurs."""
    _, tokenizer, model = tiny_classifier("bert")
    before = model.get_input_embeddings().weight[tokenizer.pad_token_id].clone()
    rows = tiny_rows([f"{text} [PAD] {text}" for text in sentences], tokenizer)
    with restricted_embedding(model, used_by(rows, tokenizer)):
        train(model, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL))
    assert torch.equal(model.get_input_embeddings().weight[tokenizer.pad_token_id], before)


def test_fewer_weights_are_trained(tiny_classifier: Make) -> None:
    _, _, model = tiny_classifier("bert")
    with restricted_embedding(model, torch.tensor([0, 2, 3, 9])):
        weights = model.get_input_embeddings().weight
        assert weights.shape == (4, 32)
        assert weights.requires_grad
        assert any(weights is parameter for parameter in model.parameters())


def test_a_token_that_was_not_named_is_an_error(tiny_classifier: Make) -> None:
    _, _, model = tiny_classifier("bert")
    with restricted_embedding(model, torch.tensor([0, 2, 3])), pytest.raises(IndexError):
        model(input_ids=torch.tensor([[2, 9, 3]]))


def test_a_frozen_embedding_stays_in_place(tiny_classifier: Make) -> None:
    _, _, model = tiny_classifier("bert")
    table = model.get_input_embeddings()
    table.weight.requires_grad_(requires_grad=False)
    with restricted_embedding(model, torch.tensor([0, 2])):
        assert model.get_input_embeddings() is table


def test_a_tied_embedding_stays_in_place(tiny_model: Callable[..., Any]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2"))
    before = dict(model.named_modules())
    assert model.lm_head.weight is model.get_input_embeddings().weight, "the model of this test must be tied"
    with restricted_embedding(model, torch.tensor([0, 2])):
        assert dict(model.named_modules()) == before


def test_rows_are_written_back_after_a_failure(tiny_classifier: Make) -> None:
    _, _, model = tiny_classifier("bert")
    table = model.get_input_embeddings()

    def fail() -> None:
        model.get_input_embeddings().weight.data.fill_(3.0)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), restricted_embedding(model, torch.tensor([0, 5])):
        fail()
    assert model.get_input_embeddings() is table
    assert table.weight[5].tolist() == [3.0] * 32


def test_used_ids() -> None:
    columns = [np.asarray([7, 3, 7], np.int32), np.asarray([9], np.int32)]
    assert used_token_ids(columns, 0, None).tolist() == [0, 3, 7, 9]
