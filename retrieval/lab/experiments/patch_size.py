"""Patches of 8, 16 and 32 pixels: their costs and benefits."""

from __future__ import annotations

from functools import partial

from retrieval.lab.evaluation.chart import Point
from retrieval.lab.evaluation.tables import Table
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import accuracy, classify, learn, made, mflops, outputs, parameters, transformer
from retrieval.lab.experiments.outcome import Chart, Outcome, compared, outcome, spread
from retrieval.lab.experiments.setting import Setting
from retrieval.lab.explain.cost import attention_flops

PATCHES = (8, 16, 32)
HEAD = ("patch", "tokens", "parameters", "MFLOPs", "between tokens", "training pictures/s", "acc@1")


def run(data: Data, setting: Setting) -> Outcome:
    """Train the same transformer with each patch size; everything else, including batches and crops, is equal."""
    rows, points, found = [], [], {}
    for patch in PATCHES:
        right, rates = [], []
        for seed in range(setting.seeds):
            tower = made(partial(transformer, setting, len(data.names), patch=patch), seed)
            rates.append(learn(tower, data, classify(tower, data), setting, seed).rate)
            right.append(accuracy(outputs(tower, data.test, setting.size), data.test_labels))
        tokens = (setting.size // patch) ** 2
        cost = mflops(tower.eval(), setting.size)
        between = attention_flops(tokens, setting.width, setting.layers) / 1e6
        found[patch] = right
        rows.append((patch, tokens, parameters(tower), cost, between, spread(rates), spread(right)))
        points.append(Point(f"patch {patch}", cost, spread(right)))
    table = Table("patch size", HEAD, tuple(rows))
    pairs = ((8, 16), (16, 32))
    said = "; ".join(compared(f"patch {one}", found[one], f"patch {other}", found[other]) for one, other in pairs)
    return outcome(
        data,
        setting,
        [table],
        Chart(tuple(points), "MFLOPs a picture", "acc@1"),
        shows=f"{said}. Halving the patch makes four times the tokens and sixteen times the FLOPs between them, but "
        "about four times those of the whole tower, most of which are in its matrices.",
        leaves_open="what long training on millions of pictures brings: all are better there, and finer patches by "
        f"another margin. Patches of 32 cut {setting.size} pixels into {(setting.size // 32) ** 2}; at 224 it is 49.",
    )
