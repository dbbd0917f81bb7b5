"""The model card: front matter that the hub reads, tables, limitations that the data shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.report import Report
from finetune_trainer.reporting.card import inline, render_card
from finetune_trainer.reporting.limitations import find_limitations

REPORTS = {path.stem: path for path in sorted((Path(__file__).parents[1] / "data" / "reports").glob("*.json"))}
FINISHED = [name for name in REPORTS if not name.startswith("failed")]


def load(name: str, **changes: Any) -> Report:
    content = json.loads(REPORTS[name].read_text(encoding="utf-8"))
    for path, value in changes.items():
        part = content
        *parents, last = path.split("__")
        for parent in parents:
            part = part[parent]
        part[last] = value
    return Report.model_validate(content)


def front(card: str) -> dict[str, Any]:
    _, text, _ = card.split("---\n", 2)
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", FINISHED)
def test_the_front_matter_is_what_the_hub_reads(name: str) -> None:
    found = front(render_card(load(name)))
    assert found["pipeline_tag"] == "text-classification"
    assert found["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "license" not in found
    result = found["model-index"][0]["results"][0]
    assert {"type", "name"} <= set(result["dataset"])
    assert [metric["type"] for metric in result["metrics"]] == found["metrics"]


def test_an_adapter_is_for_peft_and_a_merged_one_is_not() -> None:
    adapter = front(render_card(load("support_tickets")))
    merged = front(render_card(load("support_tickets", spec__output__mergeAdapter=True)))
    assert (adapter["library_name"], adapter["base_model_relation"]) == ("peft", "adapter")
    assert (merged["library_name"], merged["base_model_relation"]) == ("transformers", "finetune")


def test_a_base_from_a_file_is_no_hub_model() -> None:
    found = front(render_card(load("support_tickets", spec__model={"uri": "file:///models/mini"})))
    assert "base_model" not in found


def test_tuned_and_untouched_figures_stand_side_by_side() -> None:
    card = render_card(load("support_tickets"))
    assert re.search(r"\| accuracy \| 0\.948 \| 0\.135 \| \+0\.812 \| higher \|", card)
    assert "sha256:" + "a1" * 32 in card
    assert "finetune-trainer predict . texts.csv" in card


def table_widths(card: str) -> list[int]:
    return [len(re.findall(r"(?<!\\)\|", line)) for line in card.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", FINISHED)
def test_tables_stay_tables_whatever_the_labels_hold(name: str) -> None:
    plain = load(name)
    assert plain.data is not None
    bad = plain.data.model_copy(update={"label_names": ["a|b", "<script>x</script>", "`c`\n## d"]})
    card = render_card(plain.model_copy(update={"data": bad}))
    assert "<script>" not in card
    assert "\n## d" not in card
    assert set(table_widths(card)) <= {3, 4, 5, 6}


def test_inline_text_is_one_line_without_markup() -> None:
    assert inline("a\n*b* <i> [c](d)|") == r"a \*b\* &lt;i&gt; \[c\](d)\|"


@pytest.mark.parametrize(
    ("name", "changes", "part"),
    [
        ("support_tickets", {}, "measured on 96 rows only"),
        ("support_tickets", {"evaluatedOn": "validation"}, "no test rows"),
        ("support_tickets", {"data__imbalance": 12.0}, "12 of the most frequent"),
        ("support_tickets", {"data__conflictingLabels": 3}, "different labels"),
        ("intents_overfitted", {}, "6 held-out rows"),
        ("intents_overfitted", {}, "Overfitting: From step"),
        ("intents_overfitted", {}, "missed what its job asked for: accuracy"),
        ("comments_multi_label", {}, "weak (F1 below 0.5) on threat"),
        ("similarity_regression", {}, "whose languages were not examined"),
    ],
)
def test_limitations_are_drawn_from_the_report(name: str, changes: dict[str, Any], part: str) -> None:
    assert part in " ".join(find_limitations(load(name, **changes)))


def test_a_large_balanced_clean_run_has_only_the_limits_of_every_model() -> None:
    good = load("reviews_binary", evaluation__metrics={"accuracy": 0.94}, verdict={"fit": "Good", "reason": "ok"})
    assert good.data is not None
    splits = {name: split.model_copy(update={"lengths": None}) for name, split in good.data.splits.items()}
    clean = good.model_copy(update={"data": good.data.model_copy(update={"splits": splits})})
    assert len(find_limitations(clean)) == 1
