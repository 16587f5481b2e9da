"""A chart of accuracy against speed: laid out once, written as SVG, HTML or PNG.

Without matplotlib, which would add 70 MB to an installation and 0.7 s of CPU time to the command, for this one chart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from retrieval.lab.evaluation.bootstrap import Estimate

WIDTH, HEIGHT = 800, 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 50, 60
_GRID = "#dddddd"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#555555")  # Okabe and Ito's
_LINE_HEIGHT = 16
_RADIUS = 6
_LETTER = 7.2  # average width of a letter in pixels at 13 px

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Point:
    """One model: its name, images per second, and its accuracy. Points of one ``series`` are joined by a line."""

    name: str
    x: float
    y: Estimate
    series: str = ""


class Line(NamedTuple):
    """A line between two positions, in pixels from the upper left."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    width: float


class Dot(NamedTuple):
    """A filled circle."""

    x: float
    y: float
    radius: float
    colour: str


class Text(NamedTuple):
    """A line of text; ``y`` is its middle, ``upright`` rotates it to read upwards."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    size: int = 13
    upright: bool = False


Shape = Line | Dot | Text
_Place = Callable[[float], float]


def draw(points: Sequence[Point], *, title: str, x_label: str, y_label: str) -> list[Shape]:
    """The shapes of a chart of 800 x 500 pixels: speed on a logarithmic x axis, accuracy on the y axis, a bar for
    each interval. Points whose speed is not above 0 cannot be placed and are left out."""
    placed = [point for point in points if point.x > 0 and math.isfinite(point.x)]
    x_low, x_high = _log_range([point.x for point in placed])
    y_low, y_high, step = _range([bound for point in placed for bound in point.y])

    def at_x(x: float) -> float:
        share = (math.log10(x) - math.log10(x_low)) / (math.log10(x_high) - math.log10(x_low))
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def at_y(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)

    shapes: list[Shape] = [Text(WIDTH / 2, 24, title, "middle", 16)]
    shapes += _grid_x(at_x, _log_ticks(x_low, x_high)) if placed else []
    shapes += _grid_y(at_y, [y_low + n * step for n in range(round((y_high - y_low) / step) + 1)])
    shapes += [
        Text(WIDTH / 2, HEIGHT - 16, x_label, "middle"),
        Text(18, HEIGHT / 2, y_label, "middle", upright=True),
    ]
    dots = [(at_x(point.x), at_y(point.y.value)) for point in placed]
    colours: dict[object, str] = {}
    last: dict[str, tuple[float, float]] = {}
    for number, (point, (x, y)) in enumerate(zip(placed, dots, strict=True)):
        colour = colours.setdefault(point.series or number, _COLOURS[len(colours) % len(_COLOURS)])
        if point.series in last:
            shapes.append(Line(*last[point.series], x, y, colour, 1))
        if point.series:
            last[point.series] = (x, y)
        shapes += [Line(x, at_y(point.y.low), x, at_y(point.y.high), colour, 2), Dot(x, y, _RADIUS, colour)]
    return shapes + list(_names([point.name for point in placed], dots))


def _grid_x(at_x: _Place, ticks: Iterable[float]) -> Iterator[Shape]:
    for tick in ticks:
        yield Line(at_x(tick), _TOP, at_x(tick), HEIGHT - _BOTTOM, _GRID, 1)
        yield Text(at_x(tick), HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle", 12)


def _grid_y(at_y: _Place, ticks: Iterable[float]) -> Iterator[Shape]:
    for tick in ticks:
        yield Line(_LEFT, at_y(tick), WIDTH - _RIGHT, at_y(tick), _GRID, 1)
        yield Text(_LEFT - 8, at_y(tick), f"{tick:.3g}", "end", 12)


def _names(names: Sequence[str], dots: Sequence[tuple[float, float]]) -> Iterator[Text]:
    """Names beside their dots, moved down until none overlaps another name or dot."""
    taken = [(x - _RADIUS, x + _RADIUS, y) for x, y in dots]
    for name, (x, y) in zip(names, dots, strict=True):
        if not name:
            continue
        width = len(name) * _LETTER
        anchor: Anchor = "end" if x + 12 + width > WIDTH else "start"
        left = x - 12 - width if anchor == "end" else x + 12
        while any(abs(y - other) < _LINE_HEIGHT and left < end and start < left + width for start, end, other in taken):
            y += _LINE_HEIGHT
        taken.append((left, left + width, y))
        yield Text(x - 12 if anchor == "end" else x + 12, y, name, anchor)


def _log_range(values: Sequence[float]) -> tuple[float, float]:
    """From the last of 1, 2, 5, 10, ... below the values to the first above them, with a margin for a dot."""
    if not values:
        return 1.0, 10.0
    low, high = 0.95 * min(values), 1.05 * max(values)
    ticks = _log_ticks(low / 10, high * 10)
    return max(tick for tick in ticks if tick <= low), min(tick for tick in ticks if tick >= high)


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, including both ends."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    near = 1 + 1e-9  # the ends are computed too, and may have rounding errors
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low / near <= tick <= high * near]


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    """Low end, high end and step of a scale with about five steps, each 1, 2 or 5 times a power of ten."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = max(high - low, 0.02)
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power * 5 >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, max(last, first + 1) * step, step
