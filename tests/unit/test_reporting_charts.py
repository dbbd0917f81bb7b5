"""Scales have round ticks; charts stay readable with one point, hundreds, gaps and spikes."""

import re
import xml.etree.ElementTree as ET
from math import isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.details import ReliabilityBin
from finetune_trainer.reporting.charts import MOST_BANDS, MOST_POINTS, LineChart, Marker, Series
from finetune_trainer.reporting.diagrams import reliability_diagram, scatter_diagram
from finetune_trainer.reporting.scales import scale, segments, smooth, thin

Points = list[tuple[float, float | None]]


def drawn(points: Points, *, marker: Marker | None = None, noisy: bool = False) -> ET.Element:
    series = Series("training", "train", points, noisy=noisy)
    figure = LineChart("Loss", [series], marker=marker, notes={points[0][0]: "epoch 0.5"}).__html__()
    return ET.fromstring(figure)  # noqa: S314 -- our own output


def numbers_in(chart: ET.Element) -> list[float]:
    attributes = ("d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width")
    text = " ".join(value for part in chart.iter() for name, value in part.items() if name in attributes)
    return [float(number) for number in re.findall(r"-?\d+\.?\d*|nan|inf", text)]


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_scales_cover_the_data_with_a_handful_of_ticks(values: list[float]) -> None:
    axis = scale(values, 0, 100)
    assert 2 <= len(axis.ticks) <= 12
    assert axis.low < axis.high
    assert all(-1e-6 <= axis(value) <= 100 + 1e-6 for value in values)
    assert all(axis.low - axis.step * 1e-6 <= value <= axis.high + axis.step * 1e-6 for value in axis.ticks)


@pytest.mark.parametrize(
    ("values", "ticks"), [([0, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]), ([0, 132], [0, 50, 100, 150]), ([0.5, 0.9], None)]
)
def test_ticks_are_round(values: list[float], ticks: list[float] | None) -> None:
    found = scale(values, 0, 1).ticks
    assert found == pytest.approx(ticks or [0.5, 0.6, 0.7, 0.8, 0.9])


def test_a_flat_line_is_not_blown_up_to_noise() -> None:
    axis = scale([0.8081, 0.8082], 0, 1)
    assert axis.high - axis.low > 0.05


def test_one_point_is_a_dot() -> None:
    chart = drawn([(40, 0.61)])
    assert len(list(chart.iter("circle"))) == 1
    assert all(isfinite(number) for number in numbers_in(chart))


def test_hundreds_of_points_are_thinned_and_spikes_stay() -> None:
    points: Points = [(step, 1.0) for step in range(5000)]
    points[2345] = (2345, 9.0)
    chart = drawn(points)
    assert len(list(chart.iter("rect"))) <= MOST_BANDS + 2
    path = next(chart.iter("path")).get("d") or ""
    assert path.count("L") <= MOST_POINTS + 2
    known = [(x, y) for x, y in points if y is not None]
    assert (2345, 9.0) in thin(known, 100)


@pytest.mark.parametrize("missing", [None, nan])
def test_missing_values_break_the_line(missing: float | None) -> None:
    points: Points = [(1, 1.0), (2, 2.0), (3, missing), (4, 4.0), (5, 5.0)]
    assert [len(run) for run in segments(points)] == [2, 2]
    chart = drawn(points)
    assert (next(chart.iter("path")).get("d") or "").count("M") == 2
    assert all(isfinite(number) for number in numbers_in(chart))


def test_no_values_draw_nothing() -> None:
    assert LineChart("Loss", [Series("training", "train", [(1, None)])]).__html__() == ""
    assert reliability_diagram([]) == ""
    assert scatter_diagram([]) == ""


def test_tooltips_tell_step_epoch_and_every_series() -> None:
    two = [Series("training", "train", [(10, 0.5)]), Series("validation", "validation", [(10, 0.7), (20, 0.6)])]
    chart = ET.fromstring(LineChart("Loss", two, notes={10: "epoch 1"}).__html__())  # noqa: S314 -- our own output
    assert [title.text for title in chart.iter("title")] == [
        "step 10, epoch 1\ntraining: 0.500\nvalidation: 0.700",
        "step 20\nvalidation: 0.600",
    ]


def test_the_marker_is_inside_the_picture_even_beyond_the_data() -> None:
    chart = drawn([(10, 1.0), (20, 0.5)], marker=Marker(30, "kept: step 30"))
    line = next(part for part in chart.iter("line") if part.get("class") == "marker")
    assert 0 < float(line.get("x1", "-1")) <= 560
    assert "kept: step 30" in [text.text for text in chart.iter("text")]


def test_a_screen_reader_hears_what_the_picture_shows() -> None:
    picture = next(drawn([(1, 2.0), (9, 0.5)]).iter("svg"))
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == "Loss over training steps: training from 2.000 to 0.500"


def test_names_are_escaped() -> None:
    series = [Series("<b>", "metric-0", [(1, 1.0)]), Series('"&', "metric-1", [(1, 1.0)])]
    page = LineChart("<i>", series).__html__()
    assert "<b>" not in page
    assert "<i>" not in page


def test_a_moving_average_of_a_constant_is_that_constant() -> None:
    assert [y for _, y in smooth([(x, 3.0) for x in range(50)], 10)] == pytest.approx([3.0] * 50)


def test_noisy_lines_get_a_moving_average() -> None:
    points: Points = [(step, step % 2) for step in range(200)]
    assert [path.get("class") for path in drawn(points, noisy=True).iter("path")] == ["raw", "line"]
    assert [path.get("class") for path in drawn(points).iter("path")] == ["line"]


def test_diagrams_show_every_bin_and_every_row() -> None:
    bins = [ReliabilityBin(confidence=c, accuracy=a, rows=10) for c, a in ((0.6, 0.5), (0.8, 0.9))]
    assert str(reliability_diagram(bins)).count("<circle") == 2
    assert "sure by 60%, right in 50% of 10" in reliability_diagram(bins)
    assert str(scatter_diagram([(0.0, 1.0), (2.0, -1.0), (2.0, 2.0)])).count("<circle") == 3


def test_few_steps_are_counted_in_whole_ones() -> None:
    assert scale([0, 3], 0, 1, count=6, tight=True).ticks == (0, 1, 2, 3)
    assert scale([0, 300], 0, 1, count=6, tight=True).step == 50
