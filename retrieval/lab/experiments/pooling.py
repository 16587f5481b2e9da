"""The class token compared with the mean of the patch tokens."""

from __future__ import annotations

from functools import partial

from retrieval.lab.evaluation.tables import Table
from retrieval.lab.experiments.curves import curve_points, follow
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import mflops, parameters, transformer
from retrieval.lab.experiments.outcome import Chart, Outcome, compared, outcome, spread
from retrieval.lab.experiments.setting import Setting

NAMES = {"cls": "class token", "mean": "mean of patches"}
HEAD = ("pooling", "tokens", "parameters", "MFLOPs", "acc@1")


def run(data: Data, setting: Setting) -> Outcome:
    """Train the same transformer with each pooling."""
    found = {
        pooling: follow(partial(transformer, setting, len(data.names), pooling=pooling), data, setting)
        for pooling in NAMES
    }
    patches = (setting.size // setting.patch) ** 2
    rows = [
        (name, patches + (key == "cls"), parameters(found[key].tower),
         mflops(found[key].tower.eval(), setting.size), spread(found[key].last))
        for key, name in NAMES.items()
    ]  # fmt: skip
    points = [point for key, name in NAMES.items() for point in curve_points(name, found[key])]
    return outcome(
        data,
        setting,
        [Table("pooling", HEAD, tuple(rows))],
        Chart(tuple(points), "pictures seen in training", "acc@1"),
        shows=f"{compared(NAMES['cls'], found['cls'].last, NAMES['mean'], found['mean'].last)}. The class token has to "
        "learn what to gather, the mean gathers from the first step on, so the curves say more than their ends.",
        leaves_open="which is better in the end: with rates tuned for each, ViT's appendix D.3 finds both alike. Both "
        "have one rate here.",
    )
