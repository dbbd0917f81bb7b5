"""Whole runs on several sources: what was mixed, in which order, and what the report says of each source."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.data.tokenising.collate import TokenRows

GOOD = ["a good film", "good and warm", "very good", "a good story", "good fun"]
BAD = ["a bad film", "bad and cold", "very bad", "a bad story", "bad luck"]


@pytest.fixture
def two_sources(tmp_path: Path) -> list[dict[str, Any]]:
    """A source of 200 rows and one of 40, of which each row has a number of its own."""
    for name, count in (("large", 200), ("small", 40)):
        texts = [f"{(GOOD, BAD)[n % 2][n // 2 % 5]} {name} {n}" for n in range(count)]
        rows = [{"text": text, "label": "yn"[n % 2], "level": count - n} for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [{"uri": "file://./large.jsonl"}, {"uri": "file://./small.jsonl"}]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of training batches, in the order of collation (the real method still does the work)."""
    rows: list[int] = []
    collate = TokenRows.collate

    def noting(self: TokenRows, part: Any) -> Any:
        import torch

        if torch.is_grad_enabled():
            rows.extend(int(row) for row in part)
        return collate(self, part)

    monkeypatch.setattr(TokenRows, "collate", noting)
    return rows


def test_the_report_tells_what_each_source_gave(
    job: Callable[..., str], cli: Callable[..., Any], two_sources: list[dict[str, Any]]
) -> None:
    sources = [{**two_sources[0], "weight": 1}, {**two_sources[1], "weight": 3}]
    ended = cli("run", job(data={"train": sources}, training={"epochs": 2}), "--json")
    assert ended.code == 0, ended.err
    report = ended.report
    large, small = report.data.sources
    assert (large.rows_read, small.rows_read) == (200, 40)
    assert (large.share, small.share) == (0.25, 0.75)
    rows = report.data.splits
    assert large.rows["train"] + small.rows["train"] == rows["train"].rows
    assert large.rows["test"] + small.rows["test"] == rows["test"].rows
    assert small.rows["test"] == pytest.approx(4, abs=1), "stratified by source"
    assert small.passes == pytest.approx(0.75 * rows["train"].rows / small.rows["train"])
    assert any("small.jsonl 4 times" in warning or "small.jsonl 5 times" in warning for warning in report.data.warnings)
    by_source = {row.group: row for row in report.details.sources}
    assert set(by_source) == {"file://./large.jsonl", "file://./small.jsonl"}
    weighted = sum(row.rows * row.metrics["evalLoss"] for row in by_source.values()) / rows["test"].rows
    assert weighted == pytest.approx(report.evaluation.metrics["evalLoss"], rel=1e-5)
    measured = [point for point in report.curves if point.validation]
    assert len(measured) == 3
    assert all(set(point.sources) == set(by_source) for point in measured)
    page = (ended.folder / "report/index.html").read_text()
    assert "Validation loss by source" in page
    assert "Results by source" in page


def test_one_source_has_no_figures_by_source(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    report = cli("run", job(), "--json").report
    assert report.data.sources == report.details.sources == []
    assert not any(point.sources for point in report.curves)


def test_batches_hold_the_shares(
    job: Callable[..., str], cli: Callable[..., Any], two_sources: list[dict[str, Any]], seen: list[int]
) -> None:
    sources = [{**two_sources[0], "weight": 1}, {**two_sources[1], "weight": 1}]
    held_out = {"split": {"validation": 0, "test": 0}}
    ended = cli("run", job(data={"train": sources, **held_out}), "--json")
    assert ended.code == 0, ended.err
    assert len(seen) == 240
    assert sum(row >= 200 for row in seen) == 120


def test_easy_rows_by_a_column(
    job: Callable[..., str], cli: Callable[..., Any], two_sources: list[dict[str, Any]], seen: list[int]
) -> None:
    data = {"train": two_sources[:1], "order": "EasyFirst", "columns": {"difficulty": "level"}}
    ended = cli("run", job(data={**data, "split": {"validation": 0, "test": 0}}), "--json")
    assert ended.code == 0, ended.err
    batches = [seen[start : start + 32] for start in range(0, 200, 32)]
    assert sorted(batches[0]) == list(range(168, 200)), "the highest numbers have the lowest level"
    assert sorted(batches[-1]) == list(range(8))


@pytest.mark.causes("ColumnMissing")
def test_a_column_of_difficulty_that_is_not_there(
    job: Callable[..., str], cli: Callable[..., Any], two_sources: list[dict[str, Any]]
) -> None:
    data = {"train": two_sources, "order": "EasyFirst", "columns": {"difficulty": "levels"}}
    ended = cli("run", job(data=data))
    assert ended.code != 0
    assert "spec.data.columns.difficulty" in ended.err
    assert "level" in ended.err


def test_stages_go_source_by_source(
    job: Callable[..., str], cli: Callable[..., Any], two_sources: list[dict[str, Any]], seen: list[int]
) -> None:
    data = {"train": two_sources, "order": "AsGiven", "split": {"validation": 0, "test": 0}}
    ended = cli("run", job(data=data, training={"epochs": 2}), "--json")
    assert ended.code == 0, ended.err
    assert len(seen) == 480
    assert all(row < 200 for row in seen[:384])
    assert all(row >= 200 for row in seen[-64:])


def test_most_rows_are_drawn_by_the_weights(
    job: Callable[..., str], cli: Callable[..., Any], two_sources: list[dict[str, Any]]
) -> None:
    sources = [{**two_sources[0], "weight": 1}, {**two_sources[1], "weight": 1}]
    data = {"train": sources, "maxRows": 50, "split": {"validation": 0, "test": 0}}
    large, small = cli("run", job(data=data), "--json").report.data.sources
    assert (large.rows["train"], small.rows["train"]) == (25, 25)
    unweighted = cli("run", job(data={**data, "train": two_sources}), "--json").report.data.sources
    assert unweighted[0].rows["train"] > 35


@pytest.mark.parametrize(
    ("blocks", "where"),
    [
        ({"data": {"train": [{"uri": "file://a.csv", "prefix": "x: "}]}}, "spec.data.train[0].prefix"),
        ({"data": {"validation": [{"uri": "file://a.csv", "weight": 2}]}}, "spec.data.validation[0].weight"),
        (
            {"training": {"neftuneNoiseAlpha": 5}, "method": {"type": "FeatureExtraction"}},
            "spec.training.neftuneNoiseAlpha",
        ),
    ],
)
@pytest.mark.causes("SpecInvalid")
def test_what_has_no_effect_is_refused(
    blocks: dict[str, Any], where: str, job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    ended = cli("run", job(**blocks))
    assert ended.code != 0
    assert where in ended.err
