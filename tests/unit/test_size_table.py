"""The table of well-known models in `docs/how-to/size-a-job.md` is what the estimate says."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import size_table  # noqa: E402 -- a script beside the page


def cells(model: str) -> list[str]:
    row = next(line for line in size_table.PAGE.read_text().splitlines() if line.startswith(f"| {model} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def cell(model: str, column: int) -> str:
    """The cell that the estimate gives."""
    _, method, optimizer, again = size_table.COLUMNS[column]
    return size_table.words(size_table.peak(model, method, optimizer, again=again))


def test_one_cell_is_up_to_date() -> None:
    assert cells("Qwen 2.5 0.5B")[-1] == cell("qwen2.5-0.5b", -1)


@pytest.mark.slow
@pytest.mark.parametrize(("column", "model"), enumerate(size_table.NAMES))
def test_a_cell_of_each_row_and_column_is_up_to_date(column: int, model: str) -> None:
    """The diagonal: all cells take some minutes, and `make sizes` writes them."""
    assert cells(size_table.NAMES[model])[column] == cell(model, column)


def test_weights_are_those_of_the_published_models() -> None:
    """Numbers of weights, in millions, as their model cards give them."""
    import json

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    published = {
        "gemma-3-270m": 268,
        "qwen2.5-0.5b": 494,
        "qwen2.5-7b": 7_616,
        "llama-3-8b": 8_030,
        "llama-3-70b": 70_554,
    }
    for name, millions in published.items():
        config = json.loads((size_table.MODELS / f"{name}.json").read_text())
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        weights = sum(weight.numel() for weight in model.parameters())
        assert weights == pytest.approx(millions * 1e6, rel=0.005), name
