"""Every statement of the account has an existing test; also the tests of statements that are nowhere else."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from indexes import IndexSpec, create_index
from retrieval.encoders.base import unit
from retrieval.errors import EncoderError, RetrievalError
from retrieval.labels.zeroshot import probabilities

TESTS = Path(__file__).parent
ACCOUNT = TESTS.parent / "docs" / "account.md"
ROWS = 23
_LINE = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def lines() -> list[tuple[str, str, str]]:
    """Number, kind of evidence and tests of each row in the account's table."""
    return _LINE.findall(ACCOUNT.read_text("utf-8").partition("## What covers which statement")[2])


def named() -> dict[int, list[str]]:
    """Row -> the tests that the account names for it."""
    return {int(row): re.findall(r"`([^`]+)`", tests) for row, _, tests in lines()}


@cache
def functions(file: str) -> frozenset[str]:
    """The tests of a file."""
    path = TESTS / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.parse("")
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_row_is_there_once() -> None:
    rows = [int(row) for row, _, _ in lines()]
    assert rows == list(range(1, ROWS + 1))


@pytest.mark.parametrize("row", range(1, ROWS + 1))
def test_the_tests_of_a_row_exist(row: int) -> None:
    tests = named()[row]
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert name in functions(file), test


def test_tests_that_are_called_by_a_row_are_named_for_it() -> None:
    rows = named()
    for path in TESTS.rglob("test_*.py"):
        file = path.relative_to(TESTS).as_posix()
        for name in functions(file):
            for number in re.findall(r"\d+", (re.match(r"test_row_((?:\d+_(?:and_)?)+)", name) or [""])[0]):
                assert f"{file}::{name}" in rows[int(number)], f"{file}::{name}"


def test_row_09_scores_are_cosines() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(40, 16)))
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
    index = create_index(IndexSpec.parse("Exact"), 16)
    index.add(np.arange(41), np.concatenate([vectors, -vectors[:1]]))
    found = index.search(vectors[:1], 41)
    score = dict(zip(found.ids[0].tolist(), found.scores[0].tolist(), strict=True))
    assert score[0] == pytest.approx(1, abs=1e-6) and score[40] == pytest.approx(-1, abs=1e-6)
    for row in range(1, 40):
        angle = np.arccos(np.clip(vectors[0].astype(np.float64) @ vectors[row], -1, 1))
        assert score[row] == pytest.approx(np.cos(angle), abs=1e-6)


def test_row_09_a_zero_vector_is_an_error() -> None:
    with pytest.raises(EncoderError, match="zero"):
        unit(np.zeros((1, 16)))
    with pytest.raises(RetrievalError):
        create_index(IndexSpec.parse("Exact"), 16).add(np.array([1]), np.zeros((1, 16), dtype=np.float32))


@pytest.mark.parametrize("scale", [1 / 0.07, 100.0])
def test_row_10_a_scale_changes_no_order(scale: float) -> None:
    cosines = np.random.default_rng(0).uniform(-0.2, 0.4, 30)
    order = np.argsort(-cosines)
    assert np.argsort(-probabilities(cosines, scale)).tolist() == order.tolist()
    assert np.argsort(-probabilities(cosines, scale, -10.0)).tolist() == order.tolist()
    logits = np.exp(scale * cosines)
    np.testing.assert_allclose(probabilities(cosines, scale), logits / logits.sum())
