import pytest

from cavs_dist.report.chart import Line, draw, thin, ticks
from cavs_dist.report.colours import RUN_STYLES

STYLE = RUN_STYLES[0]


@pytest.mark.parametrize(
    ("low", "high", "most", "least", "expected"),
    [
        (0, 0.61, 5, 0, [0, 0.2, 0.4, 0.6, 0.8]),
        (0, 2, 6, 1, [0, 1, 2]),
        (1, 820, 6, 0, [0, 200, 400, 600, 800, 1000]),
        (-0.1, 0.1, 4, 0, [-0.1, -0.05, 0, 0.05, 0.1]),
        (3, 3, 6, 1, [3, 4]),
    ],
)
def test_ticks_are_round_and_cover_the_range(
    low: float, high: float, most: int, least: float, expected: list[float]
) -> None:
    assert ticks(low, high, most, least) == pytest.approx(expected)


def test_lines_lie_inside_the_axes_with_zero_at_the_bottom() -> None:
    chart = draw("IoU", "stage", [Line("cmr", STYLE, (((0, 0.5), (1, 0.0)),), marked=True)], whole_x=True)
    first, last = chart.strokes[0].marks
    assert last.y == chart.bottom
    assert chart.top <= first.y < last.y
    assert chart.left < first.x < last.x < chart.right
    assert chart.strokes[0].path == f"M{first.x} {first.y}L{last.x} {last.y}"
    assert [tick.label for tick in chart.x_ticks] == ["0", "1"]
    assert first.label == "cmr: 0.500"


def test_pieces_are_not_joined_and_dividers_stand_where_they_belong() -> None:
    parts = (((0.0, 1.0), (10.0, 1.0)), ((20.0, 1.0), (30.0, 1.0)))
    chart = draw("loss", "update", [Line("main", STYLE, parts)], dividers=[(20.0, "stage 1")])
    assert chart.strokes[0].path.count("M") == 2
    assert f"M{chart.dividers[0].place} " in chart.strokes[0].path


def test_a_spike_does_not_flatten_the_rest() -> None:
    points = tuple((float(x), 1.0 if x != 50 else 1e6) for x in range(200))
    chart = draw("loss", "update", [Line("main", STYLE, (points,))])
    assert float(chart.y_ticks[-1].label) <= 2
    negative = draw("loss", "update", [Line("main", STYLE, (((0.0, -2.0), (1.0, -1.0)),))])
    assert negative.y_ticks[0].label == "-2"


def test_thinning_averages_neighbours() -> None:
    points = [(float(x), float(2 * x)) for x in range(10)]
    assert thin(points, 5) == tuple((x + 0.5, 2 * x + 1.0) for x in range(0, 10, 2))
    assert thin(points, 20) == tuple(points)
    assert thin([], 5) == ()


def test_a_faint_line_stays_faint_and_values_are_written_as_asked() -> None:
    lines = [Line("cmr", STYLE, (((0, 0.5),),), marked=True), Line("floor", STYLE, (((0, 0.1),),), faint=True)]
    chart = draw("SDR", "stage", lines, value="{:.2f} dB")
    assert [stroke.faint for stroke in chart.strokes] == [False, True]
    assert chart.strokes[0].marks[0].label == "cmr: 0.50 dB"
