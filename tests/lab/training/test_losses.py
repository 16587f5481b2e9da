"""Losses compared with matrices computed by hand, and with open_clip's own."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from retrieval.lab.training.losses import info_nce, logits_of, multi_positive_nce, sigmoid_loss, symmetric_nce

pytestmark = pytest.mark.torch


def unit_rows(n: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_info_nce_by_hand() -> None:
    """Rows: ln(1 + e^-2) twice; columns: ln(1 + e^-1) and ln(1 + e^-3)."""
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = F.cross_entropy(logits, torch.arange(2), reduction="none")
    columns = F.cross_entropy(logits.T, torch.arange(2), reduction="none")
    assert rows.tolist() == pytest.approx([0.12693, 0.12693], abs=1e-5)
    assert columns.tolist() == pytest.approx([0.31326, 0.04859], abs=1e-5)
    assert info_nce(logits).item() == pytest.approx(0.153926, abs=1e-6)
    by_hand = (2 * math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 4
    assert info_nce(logits).item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("n", [2, 4, 9])
def test_equal_pairs_cost_the_logarithm_of_their_number(n: int) -> None:
    assert info_nce(torch.full((n, n), 7.5)).item() == pytest.approx(math.log(n), abs=1e-5)


def test_sigmoid_by_hand() -> None:
    """Scale 10, bias -10 on the identity: per row ln 2 (logit 0, true) + ln(1 + e^-10) (logit -10, false) ..."""
    logits = logits_of(torch.eye(2), torch.eye(2), 10.0, -10.0)
    assert sigmoid_loss(logits).item() == pytest.approx(math.log(2) + math.log(1 + math.exp(-10)), abs=1e-6)
    # ... and where every cosine is wrong: 20 for the true pair's logit of -10, ln 2 for the false one's 0.
    assert sigmoid_loss(logits.flip(1)).item() == pytest.approx(10.0000454 + math.log(2), abs=1e-5)


def test_sigmoid_by_hand_with_a_wrong_pair() -> None:
    """Images (1, 0) and (0, 1), texts (.6, .8) and (.8, -.6): logits -4 and -16 where true, -2 where false."""
    logits = logits_of(torch.eye(2), torch.tensor([[0.6, 0.8], [0.8, -0.6]]), 10.0, -10.0)
    assert logits.flatten().tolist() == pytest.approx([-4, -2, -2, -16], abs=1e-5)
    by_hand = (math.log(1 + math.exp(4)) + math.log(1 + math.exp(16)) + 2 * math.log(1 + math.exp(-2))) / 2
    assert by_hand == pytest.approx(10.136002, abs=2e-6)
    assert sigmoid_loss(logits).item() == pytest.approx(10.136002, abs=5e-6)


def test_sigmoid_loss_is_a_sum_over_blocks_of_pairs() -> None:
    """No normaliser over the batch: pieces of the matrix, judged apart, add up to the whole."""
    logits = logits_of(unit_rows(6, 8, 1), unit_rows(6, 8, 2), 10.0, -10.0)
    truth = torch.eye(6, dtype=torch.bool)
    whole = sigmoid_loss(logits) * 6
    parts = [
        sigmoid_loss(logits[r : r + 2, c : c + 3], truth[r : r + 2, c : c + 3]) * 2
        for r in range(0, 6, 2)
        for c in range(0, 6, 3)
    ]
    assert torch.stack(parts).sum().item() == pytest.approx(whole.item(), rel=1e-6)


def test_equal_to_open_clip() -> None:
    pytest.importorskip("open_clip")
    from retrieval.encoders.torch.open_clip_model import import_open_clip

    loss = import_open_clip().loss
    images, texts = unit_rows(8, 16, 3), unit_rows(8, 16, 4)
    for scale in (1.0, 1 / 0.07, 100.0):
        theirs = loss.ClipLoss()(images, texts, torch.tensor(scale))
        assert info_nce(logits_of(images, texts, scale)).item() == pytest.approx(theirs.item(), rel=1e-6)
    theirs = loss.SigLipLoss()(images, texts, torch.tensor(10.0), torch.tensor(-10.0))
    assert sigmoid_loss(logits_of(images, texts, 10.0, -10.0)).item() == pytest.approx(theirs.item(), rel=1e-6)


def test_several_positives() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    eye = torch.eye(5, dtype=torch.bool)
    assert symmetric_nce(logits, eye).item() == pytest.approx(info_nce(logits).item(), rel=1e-6)
    both = torch.tensor([[True, True, False]])
    row = torch.tensor([[1.0, 2.0, 3.0]])
    log_probability = torch.log_softmax(row, dim=1)[0]
    expected = -(log_probability[0] + log_probability[1]) / 2
    assert multi_positive_nce(row, both).item() == pytest.approx(expected.item(), rel=1e-6)
    # A picture that no text fits counts nothing.
    padded, none = torch.cat([row, row]), torch.cat([both, torch.zeros_like(both)])
    assert multi_positive_nce(padded, none).item() == pytest.approx(expected.item(), rel=1e-6)


def test_logits_are_float32_whatever_the_towers_ran_in() -> None:
    half = unit_rows(3, 8, 5).bfloat16()
    logits = logits_of(half, half, 100.0)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, 100.0 * (half.float() @ half.float().T))
