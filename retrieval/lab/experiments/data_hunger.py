"""A transformer and a convolutional network of equal size, for different amounts of training pictures."""

from __future__ import annotations

from retrieval.lab.evaluation.chart import Point
from retrieval.lab.evaluation.tables import Cell, Table
from retrieval.lab.experiments.curves import Way
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import (
    accuracy,
    classify,
    convolutional,
    learn,
    made,
    mflops,
    outputs,
    parameters,
    transformer,
)
from retrieval.lab.experiments.outcome import Chart, Outcome, compared, joined, outcome, spread
from retrieval.lab.experiments.setting import Setting
from retrieval.streams import plural

VIT, CNN = "ViT", "CNN"
_FACTOR = 5


def run(data: Data, setting: Setting) -> Outcome:
    """Train both with increasing numbers of pictures per class, drawn anew for each seed; the steps are the same."""
    classes = len(data.names)
    ways: dict[str, Way] = {
        VIT: lambda: transformer(setting, classes, patch=8),
        CNN: lambda: convolutional(setting, classes),
    }
    numbers = amounts(int(data.train_labels.bincount().min()))
    found = {
        (name, each): [_trained(build, data.few(each, seed), setting, seed) for seed in range(setting.seeds)]
        for each in numbers
        for name, build in ways.items()
    }
    rows: list[tuple[Cell, ...]] = [(each, *(spread(found[name, each]) for name in ways)) for each in numbers]
    sizes = [(name, parameters(build()), mflops(build().eval(), setting.size)) for name, build in ways.items()]
    tables = [
        Table("data hunger", ("pictures a class", *(f"{name} acc@1" for name in ways)), tuple(rows)),
        Table("models", ("model", "parameters", "MFLOPs"), tuple(sizes)),
    ]
    points: list[Point] = []
    for name in ways:
        line = [Point(name if each == numbers[-1] else "", each, spread(found[name, each])) for each in numbers]
        points += joined(line, name)
    few, many = (compared(CNN, found[CNN, n], VIT, found[VIT, n]) for n in (numbers[0], numbers[-1]))
    return outcome(
        data,
        setting,
        tables,
        Chart(tuple(points), "pictures a class to learn from", "acc@1"),
        shows=f"with {plural(numbers[0], 'picture')} a class, {few}; with {numbers[-1]}, {many}.",
        leaves_open="where the transformer overtakes: ViT's took tens of millions of pictures (figure 4). "
        "Both have one learning rate and one augmentation, and either could be helped by others.",
    )


def amounts(most: int) -> list[int]:
    """Three numbers of pictures per class, each five times the previous one; the last is the total."""
    return sorted({max(1, most // _FACTOR**power) for power in range(3)})


def _trained(build: Way, data: Data, setting: Setting, seed: int) -> float:
    tower = made(build, seed)
    learn(tower, data, classify(tower, data), setting, seed)
    return accuracy(outputs(tower, data.test, setting.size), data.test_labels)
