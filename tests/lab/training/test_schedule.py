"""Rates, decay groups and averages."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from retrieval.lab.training.schedule import cosine, follow, groups
from retrieval.lab.training.small import from_scratch

pytestmark = pytest.mark.torch


def test_cosine_rises_then_falls_to_nothing() -> None:
    factors = [cosine(step / 100, step, 10) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert all(a < b for a, b in pairwise(factors[:10]))
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert cosine(0.5, 1000, 10) == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.0, abs=1e-9)


def test_biases_norms_positions_and_scales_do_not_decay() -> None:
    model = from_scratch("tiny")
    model.use_sigmoid()
    decayed, free = groups(model.module.named_parameters(), 0.1)
    names = {id(parameter): name for name, parameter in model.module.named_parameters()}
    free_names = {names[id(p)] for p in free["params"]}
    assert decayed["weight_decay"] == 0.1 and free["weight_decay"] == 0.0
    assert {"log_scale", "bias", "image.positions", "text.positions"} <= free_names
    assert all("norm" not in names[id(p)] and not names[id(p)].endswith("bias") for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


def test_frozen_parameters_are_left_out() -> None:
    layer = nn.Linear(2, 2).requires_grad_(False)
    assert [len(g["params"]) for g in groups(layer.named_parameters(), 0.1)] == [0, 0]


def test_average_follows_and_copies_whole_numbers() -> None:
    average = {"w": torch.zeros(3), "seen": torch.tensor(0)}
    live = {"w": torch.ones(3), "seen": torch.tensor(7)}
    follow(average, live, 0.9, step=10_000)
    assert average["w"].tolist() == pytest.approx([0.1] * 3)
    assert int(average["seen"]) == 7
    follow(average, live, 0.9, step=0)  # at first it remembers less
    assert average["w"].tolist() == pytest.approx([0.1 + 0.9 * 0.9] * 3)
