"""The findings of an experiment: tables with intervals over seeds, conclusions from them, a chart."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from retrieval.lab.evaluation.bootstrap import Estimate
from retrieval.lab.evaluation.chart import Point, Shape, draw
from retrieval.lab.evaluation.probe import student_interval
from retrieval.lab.evaluation.tables import Cell, Report, Table
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.setting import Setting
from retrieval.streams import plural

if TYPE_CHECKING:
    from PIL import Image

_FEWEST = 3
QUICK_NOTE = "Quick setting: it shows that the experiment runs; its figures mean nothing."


@dataclass(frozen=True)
class Chart:
    """Points, and the labels of the axes; the x axis is logarithmic."""

    points: tuple[Point, ...]
    x_label: str
    y_label: str

    def shapes(self, title: str) -> list[Shape]:
        """The chart."""
        return draw(self.points, title=title, x_label=self.x_label, y_label=self.y_label)


@dataclass(frozen=True)
class Outcome:
    """The findings of one experiment.

    Attributes:
        report: its tables; the notes say what they show and what they leave open.
        chart: its first table as a chart.
        pictures: pictures to look at, if any.
    """

    report: Report
    chart: Chart
    pictures: Image.Image | None = None


def outcome(
    data: Data,
    setting: Setting,
    tables: Sequence[Table],
    chart: Chart,
    *,
    shows: str,
    leaves_open: str,
    steps: str = "",
    pictures: Image.Image | None = None,
) -> Outcome:
    """Combine an experiment's findings with the conditions under which they were found.

    Args:
        shows, leaves_open: what the tables show, and what they leave open.
        steps: a description of one training, if it differs from the setting.
    """
    about: dict[str, Cell] = {
        "setting": setting.name,
        "pictures": data.source,
        "classes": len(data.names),
        "to learn from": len(data.train),
        "to judge by": len(data.test),
        "a training": steps or f"{plural(setting.steps, 'step')} of {plural(setting.batch, 'picture')}",
        "intervals": f"95 %, Student's t over {plural(setting.seeds, 'seed')} of weights, batches and crops, "
        "not over pictures",
        "chance": 1 / len(data.names),
        "run on": f"{platform.machine()}, {plural(torch.get_num_threads(), 'thread')}, torch {torch.__version__}",
    }
    warning = (QUICK_NOTE,) if setting.name == "quick" else ()
    return Outcome(
        Report(about, tuple(tables), (*warning, f"Shows: {shows}", f"Does not show {leaves_open}")), chart, pictures
    )


def joined(points: Sequence[Point], series: str) -> list[Point]:
    """The points as one line of a chart."""
    return [replace(point, series=series) for point in points]


def compared(one: str, ones: Sequence[float], other: str, others: Sequence[float]) -> str:
    """The conclusion about two ways that were trained with the same seeds, from the interval of their differences.

    Values with the same seed share batches and crops, so their difference varies less than they do. Two seeds are
    not enough: accuracies are multiples of one picture, and two equal differences would give an interval of width zero.
    """
    gap = student_interval([a - b for a, b in zip(ones, others, strict=True)])
    text = f"{one} minus {other}: {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    if len(ones) < _FEWEST or gap.low <= 0 <= gap.high:
        return f"{text}, not told apart by {plural(len(ones), 'seed')}"
    return f"{text}, {one if gap.low > 0 else other} is ahead"


def spread(values: Sequence[float]) -> Estimate:
    """Mean over seeds, with an interval."""
    return student_interval(values)
