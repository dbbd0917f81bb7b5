"""The page is whole, self-contained, escaped and accessible for every kind of run."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from finetune_api.details import Details
from finetune_api.outcome import EvaluationResult, Outcome
from finetune_api.report import Report
from finetune_trainer.reporting.page import render_page

REPORTS = {path.stem: path for path in sorted((Path(__file__).parents[1] / "data" / "reports").glob("*.json"))}
VOID = {"meta", "link", "img", "wbr"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


def load(name: str) -> Report:
    return Report.model_validate_json(REPORTS[name].read_text(encoding="utf-8"))


class Outline(HTMLParser):
    """Tags, attributes and texts of a page; fails on tags that don't match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


def words(page: str) -> str:
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.mark.parametrize("name", REPORTS)
def test_every_tag_is_closed_and_every_reference_has_its_target(name: str) -> None:
    outline = Outline(render_page(load(name)))
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    targets = [href.removeprefix("#") for href in outline.values("href") if href.startswith("#")]
    assert set(targets) | set(outline.values("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_fetched_from_anywhere(name: str) -> None:
    page = render_page(load(name))
    outline = Outline(page)
    assert outline.values("src") == []
    assert all(href.startswith(("#", "data:")) for href in outline.values("href"))
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page)


@pytest.mark.parametrize("name", REPORTS)
def test_pictures_have_words_and_tables_have_headers(name: str) -> None:
    outline = Outline(render_page(load(name)))
    pictures = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    headers = [attributes for tag, attributes in outline.tags if tag == "th"]
    assert all(header["scope"] in {"row", "col"} for header in headers)


def hostile(value: Any) -> Any:
    """The same report with every free text replaced."""
    fixed = {"format", "outcome", "startedAt", "finishedAt", "problemType", "class", "fit"}
    if isinstance(value, dict):
        return {k: value[k] if k in fixed | {"lineage", "resolved"} else hostile(value[k]) for k in value}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("name", REPORTS)
def test_texts_of_the_data_never_become_markup(name: str) -> None:
    evil = hostile(load(name).model_dump(mode="json", by_alias=True))
    if evil["data"]:
        evil["data"]["labelNames"] = evil["data"]["files"] = [HOSTILE]
        for split in evil["data"]["splits"].values():
            split["labels"] = {HOSTILE: 1}
    evil["evaluation"]["metrics"][f"recall.{HOSTILE}"] = 0.5
    for point in evil["curves"]:
        point["validation"][f"recall.{HOSTILE}"] = 0.5
    if evil["evaluation"]["best"]:
        evil["evaluation"]["best"]["metric"] = f"recall.{HOSTILE}"
    page = render_page(Report.model_validate(evil))
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert [tag for tag, _ in outline.tags].count("img") == 0
    assert outline.values("onerror") == []
    assert "&lt;script&gt;alert(1)" in page


def test_the_policy_allows_the_pages_own_script_and_no_other() -> None:
    page = render_page(load("support_tickets"))
    script = re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert script is not None
    assert policy is not None
    digest = b64encode(sha256(script.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy.group(1)
    assert "default-src 'none'" in policy.group(1)


def test_a_finished_run_shows_figures_curves_errors_data_and_lineage() -> None:
    text = words(render_page(load("support_tickets")))
    for part in (
        "gets 94.8% right on 96 test rows, the base model 13.5%",
        "95% interval 88.4% to 97.8%",
        "min improvement 0.3",
        "Good fit",
        "kept: step 132",
        "Confusion matrix",
        "Most mixed up",
        "Worst errors",
        "support_tickets.csv:377",
        "sha256:a1a1",
        "Learning rate",
        "lora",
    ):
        assert part in text, part


def test_a_failed_run_leads_with_what_happened_and_what_to_do() -> None:
    text = words(render_page(load("failed_data")))
    assert text.index("TooManyBadRows") < text.index("412")
    assert text.index("61 of 412 rows") < text.index("What to do: mend the rows") < text.index("Configuration")
    assert "tickets.csv:22" in text


def test_a_run_that_failed_at_once_still_makes_a_page() -> None:
    text = words(render_page(load("failed_early")))
    assert "ModelNotFound" in text
    assert "Learning curves" not in text


def test_a_run_that_diverged_shows_its_curves() -> None:
    text = words(render_page(load("failed_diverged")))
    assert "LossDiverged" in text
    assert "training was unstable" in text


def test_a_run_that_ended_before_its_first_step_has_no_empty_charts() -> None:
    report = load("failed_diverged")
    begun = report.model_copy(update={"curves": report.curves[:1], "verdict": None})
    assert report.curves[0].step == 0
    assert "<svg" not in render_page(begun)


def test_missed_gates_are_named_at_the_top() -> None:
    text = words(render_page(load("intents_overfitted")))
    assert text.index("2 of 3 gates missed") < text.index("Learning curves")
    assert "accuracy is 0.769; required: min 0.8" in text


def test_many_classes_have_mixed_up_pairs_instead_of_a_matrix() -> None:
    text = words(render_page(load("intents_overfitted")))
    assert "Most mixed up" in text
    assert "Confusion matrix" not in text
    assert "18 more classes" in text


def test_a_regression_has_a_scatter_and_no_right_or_wrong() -> None:
    page = render_page(load("similarity_regression"))
    assert "Predicted and true values" in page
    assert 'class="sample wrong"' not in page
    assert ">Base model</th>" not in page


def test_labels_of_multi_label_rows_are_lists() -> None:
    assert "toxic, insult" in words(render_page(load("comments_multi_label")))


def test_a_report_with_nothing_but_the_required_parts_renders() -> None:
    bare = load("failed_early").model_copy(
        update={"failure": None, "spec": {}, "versions": {}, "outcome": Outcome.STOPPED, "verdict": None}
    )
    assert "Stopped" in words(render_page(bare))


def test_a_metric_that_got_worse_is_said_to_be_worse_whichever_way_is_better() -> None:
    evaluation = EvaluationResult(metrics={"accuracy": 0.5, "evalLoss": 2.0}, baseline={"accuracy": 0.6, "evalLoss": 1})
    page = render_page(load("reviews_binary").model_copy(update={"evaluation": evaluation}))
    assert 'class="change better"' not in page
    assert page.count('class="change worse"') == 4


def test_a_perfect_model_has_no_worst_errors() -> None:
    report = load("reviews_binary")
    assert report.details is not None
    right = [sample.model_copy(update={"predicted": sample.expected}) for sample in report.details.worst]
    perfect = report.model_copy(update={"details": report.details.model_copy(update={"worst": right})})
    assert "every row is right" in words(render_page(perfect))


def as_task(name: str, task: str) -> Report:
    """A report as if the run had been of another task."""
    report = load(name)
    return report.model_copy(update={"spec": {**report.spec, "task": task}})


def test_pairs_are_called_what_they_are_and_rewards_have_no_loss_to_read() -> None:
    name = next(name for name in REPORTS if load(name).details and load(name).evaluation.best)
    pairs, rewarded = (render_page(as_task(name, task)) for task in ("Preference", "PolicyOptimization"))
    assert "<dt>rejected</dt>" in pairs
    assert "<dt>rejected</dt>" not in rewarded
    assert "The training loss says nothing here" in words(rewarded)
    assert "dropout keeps it above" not in pairs


def test_nothing_is_headed_where_there_is_no_error_to_show() -> None:
    report = as_task(next(name for name in REPORTS if load(name).details), "PolicyOptimization")
    page = render_page(report.model_copy(update={"details": Details()}))
    assert "Where it errs" not in page
    assert "#errors" not in page
