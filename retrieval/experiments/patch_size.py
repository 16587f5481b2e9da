"""Patches of 8, 16 and 32 pixels: what they cost and what they bring."""

from __future__ import annotations

from retrieval.evaluation.chart import Point
from retrieval.evaluation.tables import Table
from retrieval.experiments.data import Data
from retrieval.experiments.learning import accuracy, classify, gflops, learn, made, outputs, parameters
from retrieval.experiments.outcome import Chart, Outcome, compared, outcome, spread
from retrieval.experiments.setting import Setting
from retrieval.experiments.towers import transformer
from retrieval.explain.cost import attention_flops

PATCHES = (8, 16, 32)
HEAD = ("patch", "tokens", "parameters", "GFLOPs", "between tokens", "training pictures/s", "acc@1")


def run(data: Data, setting: Setting) -> Outcome:
    """Train the same transformer with each patch size; all else, batches and crops included, is equal."""
    rows, points, found = [], [], {}
    for patch in PATCHES:
        right, rates = [], []
        for seed in range(setting.seeds):
            tower = made(lambda patch=patch: transformer(setting, len(data.names), patch=patch), seed)
            rates.append(learn(tower, data, classify(tower, data), setting, seed).rate)
            right.append(accuracy(outputs(tower, data.test, setting.size), data.test_labels))
        tokens = (setting.size // patch) ** 2
        cost = gflops(tower.eval(), setting.size)
        between = attention_flops(tokens, setting.width, setting.layers) / 1e9
        found[patch] = right
        rows.append((patch, tokens, parameters(tower), cost, between, spread(rates), spread(right)))
        points.append(Point(f"patch {patch}", cost, spread(right)))
    table = Table("patch size", HEAD, tuple(rows))
    return outcome(data, setting, [table], _notes(found, setting), Chart(tuple(points), "GFLOPs a picture", "acc@1"))


def _notes(found: dict[int, list[float]], setting: Setting) -> list[str]:
    first, last = compared("patch 8", found[8], "patch 16", found[16]), compared(
        "patch 16", found[16], "patch 32", found[32]
    )
    return [
        f"Shows: {first}. {last}. Halving the patch makes four times the tokens and sixteen times the FLOPs between them, "
        "and about four times those of the whole tower, most of which are in its matrices.",
        f"Does not show what long training on millions of pictures brings: there all are better, and finer patches by "
        f"another margin. A picture of {setting.size} pixels is one that patches of 32 cut into "
        f"{(setting.size // 32) ** 2}; at 224 they make 49.",
    ]
