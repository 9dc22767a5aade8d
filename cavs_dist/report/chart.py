"""A line chart as plain geometry; the template draws it as SVG, which follows the page's theme and prints sharp."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cavs_dist.report.colours import Style

WIDTH, HEIGHT = 420.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 14.0, 38.0
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named line. parts: pieces that are not joined, each a sequence of (x, y).

    marked: a mark on every point. faint: drawn thin, as what others are measured by.
    """

    name: str
    style: Style
    parts: tuple[tuple[Point, ...], ...]
    marked: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Tick:
    """A label on an axis, at a place in the drawing."""

    place: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A point of a line in the drawing, and its value in words."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Stroke:
    """A line as drawn: an SVG path, and its marks."""

    name: str
    style: Style
    path: str
    marks: tuple[Mark, ...]
    faint: bool


@dataclass(frozen=True)
class Chart:
    """All that the template needs to draw."""

    title: str
    x_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dividers: tuple[Tick, ...]
    strokes: tuple[Stroke, ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def draw(
    title: str,
    x_name: str,
    lines: Sequence[Line],
    *,
    whole_x: bool = False,
    dividers: Sequence[tuple[float, str]] = (),
    value: str = "{:.3f}",
) -> Chart:
    """Lay out `lines` over axes that fit them; y starts at 0 unless something lies below.

    whole_x: ticks on x at whole numbers only. dividers: named places on x, such as where stages begin. value: how a
    mark's value is written.
    """
    points = [point for line in lines for part in line.parts for point in part]
    xs, ys = [x for x, _ in points] or [0.0], [y for _, y in points] or [0.0]
    x_ticks = ticks(min(xs), max(xs), 6, least=1.0 if whole_x else 0.0)
    y_ticks = ticks(min(0.0, *ys), _high(ys), 5)
    x_range = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 0.5, max(xs) + 0.5)
    y_range = (y_ticks[0], y_ticks[-1])

    def across(x: float) -> float:
        return round(_scale(x, x_range, (LEFT + 10 * whole_x, WIDTH - RIGHT - 10 * whole_x)), 1)

    def up(y: float) -> float:
        return round(_scale(min(y, y_range[1]), y_range, (HEIGHT - BOTTOM, TOP)), 1)

    def stroke(line: Line) -> Stroke:
        path = "".join("M" + "L".join(f"{across(x)} {up(y)}" for x, y in part) for part in line.parts)
        points = [point for part in line.parts for point in part if line.marked]
        marks = tuple(Mark(across(x), up(y), f"{line.name}: {value.format(y)}") for x, y in points)
        return Stroke(line.name, line.style, path, marks, line.faint)

    return Chart(
        title,
        x_name,
        x_ticks=tuple(Tick(across(x), f"{x:g}") for x in x_ticks if x_range[0] <= x <= x_range[1]),
        y_ticks=tuple(Tick(up(y), f"{y:g}") for y in y_ticks),
        dividers=tuple(Tick(across(x), label) for x, label in dividers),
        strokes=tuple(stroke(line) for line in lines),
    )


def ticks(low: float, high: float, most: int, least: float = 0.0) -> list[float]:
    """Return at most `most` + 1 round numbers around [low, high], `least` or more apart."""
    rough = max((high - low) / most, least, 1e-9)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= rough * (1 - 1e-9))
    if least:
        step = math.ceil(step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def thin(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """Return at most `most` points: means of equal runs of neighbours."""
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size or 1)]
    return tuple((sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups)


def _high(ys: Sequence[float]) -> float:
    """Return the top of the axis: a few spikes above the rest are cut, so that the rest stays readable."""
    ordered = sorted(ys)
    usual = ordered[math.ceil(0.98 * (len(ordered) - 1))]
    return 1.2 * usual if 0 < 2 * usual < ordered[-1] else ordered[-1]


def _scale(value: float, source: Point, target: Point) -> float:
    return target[0] + (value - source[0]) / (source[1] - source[0]) * (target[1] - target[0])
