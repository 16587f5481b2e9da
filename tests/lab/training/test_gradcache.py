"""Cached gradients equal those of the whole batch up to rounding; those of plain accumulation do not."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import nn

from retrieval.lab.training.gradcache import backward
from retrieval.lab.training.losses import info_nce, logits_of, sigmoid_loss

pytestmark = pytest.mark.torch


class Towers(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 8))
        self.text = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 8))
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def gradients(self, loss: str, chunk: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.zero_grad()
        torch.manual_seed(1)
        images, texts = torch.randn(10, 12), torch.randn(10, 6)

        def judged(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            if loss == "clip":
                return info_nce(logits_of(a, b, self.log_scale.exp()))
            return sigmoid_loss(logits_of(a, b, self.log_scale.exp(), self.bias))

        value = backward(
            lambda x: F.normalize(self.image(x), dim=-1),
            lambda x: F.normalize(self.text(x), dim=-1),
            images, texts, judged, chunk,
        )  # fmt: skip
        return value, torch.cat([p.grad.flatten() for p in self.parameters() if p.grad is not None])


@pytest.mark.parametrize("loss", ["clip", "siglip"])
@pytest.mark.parametrize("chunk", [1, 3, 5])
def test_pieces_give_the_gradient_of_the_whole(loss: str, chunk: int) -> None:
    towers = Towers()
    whole_loss, whole = towers.gradients(loss, 0)
    loss_, pieces = towers.gradients(loss, chunk)
    assert loss_.item() == pytest.approx(whole_loss.item(), rel=1e-6)
    assert whole.abs().max() > 1e-3
    assert (pieces - whole).abs().max() < 1e-6 * max(1.0, whole.abs().max().item())


def test_accumulating_small_batches_is_something_else() -> None:
    towers = Towers()
    _, whole = towers.gradients("clip", 0)
    towers.zero_grad()
    torch.manual_seed(1)
    images, texts = torch.randn(10, 12), torch.randn(10, 6)
    for at in (0, 5):
        a, b = (F.normalize(t(x[at : at + 5]), dim=-1) for t, x in ((towers.image, images), (towers.text, texts)))
        (info_nce(logits_of(a, b, towers.log_scale.exp())) / 2).backward()
    summed = torch.cat([p.grad.flatten() for p in towers.parameters() if p.grad is not None])
    assert (summed - whole[: len(summed)]).abs().max() > 1e-3


def test_dropout_falls_the_same_way_both_times() -> None:
    """Both passes over a piece have to drop the same numbers, or the gradient belongs to another loss."""
    towers = Towers(dropout=0.5).train()
    seen: list[torch.Tensor] = []
    towers.image[2].register_forward_hook(lambda _m, _i, out: seen.append(out.detach().clone()))
    towers.gradients("clip", 5)
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])
