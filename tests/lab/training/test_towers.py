"""The small model's parts, each compared with the papers' equations."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from retrieval.lab.training.towers import (
    Attention,
    ImageTower,
    ImageTowerConfig,
    PatchEmbedding,
    SmallClip,
    TextTower,
    TextTowerConfig,
)

pytestmark = pytest.mark.torch

CONFIG = ImageTowerConfig(size=32, patch=8, width=48, layers=2, heads=3, dim=16)


def image_tower(**changes: object) -> ImageTower:
    torch.manual_seed(0)
    return ImageTower(ImageTowerConfig(**{**CONFIG.to_json(), **changes})).eval()  # type: ignore[arg-type]


def test_patch_embedding_equals_unfold_and_linear() -> None:
    torch.manual_seed(0)
    embedding = PatchEmbedding(8, 48)
    images = torch.randn(2, 3, 32, 24)
    patches = F.unfold(images, kernel_size=8, stride=8).transpose(1, 2)  # (n, t, 3 * 8 * 8)
    linear = F.linear(patches, embedding.project.weight.flatten(1), embedding.project.bias)
    grid = embedding(images)
    assert grid.shape == (2, 48, 4, 3)
    assert (grid.flatten(2).transpose(1, 2) - linear).abs().max() < 1e-5


def shuffled(images: torch.Tensor, patch: int) -> torch.Tensor:
    """The same patches in another order."""
    cut = F.unfold(images, kernel_size=patch, stride=patch)
    order = torch.randperm(cut.shape[-1], generator=torch.Generator().manual_seed(1))
    return F.fold(cut[..., order], images.shape[-2:], kernel_size=patch, stride=patch)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_only_positions_know_the_order_of_patches(pooling: str) -> None:
    tower = image_tower(pooling=pooling)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    other = shuffled(images, 8)
    assert (images - other).abs().max() > 1
    with torch.no_grad():
        tower.positions.mul_(20)  # as large as in a trained model
        moved = (F.normalize(tower(images), dim=-1) - F.normalize(tower(other), dim=-1)).abs().max()
        tower.positions.zero_()
        same = (F.normalize(tower(images), dim=-1) - F.normalize(tower(other), dim=-1)).abs().max()
    assert same < 1e-6
    assert moved > 1e-3


def test_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = Attention(24, 3, causal=True)
    x = torch.randn(2, 5, 24)
    query, key, value = (
        part.view(2, 5, 3, 8).transpose(1, 2) for part in attention.query_key_value(x).chunk(3, dim=-1)
    )
    scores = (query @ key.transpose(-1, -2)) / 8**0.5
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    expected = attention.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(2, 5, 24))
    assert (attention(x) - expected).abs().max() < 1e-5


def test_text_tower_is_causal_and_reads_the_end_token() -> None:
    torch.manual_seed(0)
    tower = TextTower(TextTowerConfig(vocabulary=50, context=8, width=24, layers=2, heads=3, dim=16)).eval()
    text = torch.tensor([[48, 5, 6, 49, 0, 0, 0, 0]])
    noise = torch.tensor([[48, 5, 6, 49, 7, 8, 9, 7]])
    other = torch.tensor([[48, 6, 5, 49, 0, 0, 0, 0]])
    with torch.no_grad():
        assert (tower(text) - tower(noise)).abs().max() < 1e-6  # what follows the end token is not seen
        assert (tower(text) - tower(text[:, :4])).abs().max() < 1e-6
        assert (tower(text) - tower(other)).abs().max() > 1e-4


def test_another_input_size_interpolates_positions() -> None:
    tower = image_tower()
    with torch.no_grad():
        assert tower(torch.randn(1, 3, 48, 48)).shape == (1, 16)
        assert torch.equal(tower.positions_for(4, 4), tower.positions)
        assert tower.positions_for(6, 5).shape == (1, 30, 48)


def test_the_scale_begins_at_one_over_007_and_ends_at_100() -> None:
    clip = SmallClip(image_tower(), TextTower(TextTowerConfig(50, width=24, heads=3, dim=16)))
    assert clip.scale().item() == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        clip.log_scale.fill_(9.0)
    assert clip.scale().item() == 100.0
    images, texts = clip(torch.randn(2, 3, 32, 32), torch.tensor([[48, 1, 49], [48, 2, 49]]))
    assert torch.allclose(images.norm(dim=1), torch.ones(2)) and torch.allclose(texts.norm(dim=1), torch.ones(2))
