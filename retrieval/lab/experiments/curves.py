"""Accuracy during training: several seeds of one kind of classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from retrieval.lab.evaluation.chart import Point
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import accuracy, classify, learn, made, outputs
from retrieval.lab.experiments.outcome import joined, spread
from retrieval.lab.experiments.setting import Setting

Way = Callable[[], nn.Module]
_SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)


@dataclass(frozen=True)
class Followed:
    """Accuracies of one kind of classifier.

    Attributes:
        seen: pictures seen so far -> acc@1, one per seed.
        last: acc@1 at the end, one per seed.
        then: other results at the end, one per seed.
        tower: of the last seed.
    """

    seen: dict[int, list[float]]
    last: list[float]
    then: list[float]
    tower: nn.Module


def follow(
    build: Way, data: Data, setting: Setting, *, then: Callable[[nn.Module], float] = lambda tower: float("nan")
) -> Followed:
    """Train a classifier from every seed; evaluate it after an eighth, a quarter, half and all of its steps."""
    stops = sorted({max(1, round(share * setting.steps)) for share in _SHARES})
    batch = min(setting.batch, len(data.train))
    seen: dict[int, list[float]] = {stop * batch: [] for stop in stops}
    asked = []
    for seed in range(setting.seeds):
        tower = made(build, seed)

        def judge(step: int, tower: nn.Module = tower) -> None:
            if step in stops:
                seen[step * batch].append(accuracy(outputs(tower, data.test, setting.size), data.test_labels))

        learn(tower, data, classify(tower, data), setting, seed, after=judge)
        asked.append(then(tower))
    return Followed(seen, seen[stops[-1] * batch], asked, tower)


def curve_points(name: str, followed: Followed) -> list[Point]:
    """A line of a chart: acc@1 against pictures seen, labelled at its end."""
    ends = max(followed.seen)
    return joined([Point(name if n == ends else "", n, spread(right)) for n, right in followed.seen.items()], name)
