"""The pretrained body: its network is the published one, and only the published file is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from retrieval.errors import SettingsError  # noqa: E402
from retrieval.lab.training.lite import WEIGHTS, LiteBody, read_body, take_in_order  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def published() -> "torch.nn.Module":  # noqa: UP037 - torch is not always there
    """timm's network of the same name with random weights and statistics, as no file can be fetched here."""
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


def test_features_and_logits_equal_timms(published: torch.nn.Module) -> None:
    body = LiteBody().eval()
    take_in_order(body, published.state_dict())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        stages = published.bn1(published.conv_stem(images))
        for stage in published.blocks:
            stages = stage(stages)
        grid = body(images)
        logits = body.classifier(body.head(grid).mean((2, 3)))
        wanted = published(images)
    assert grid.shape == (2, 320, 7, 7)
    assert float((grid - stages).abs().max() / stages.abs().max()) < 1e-5
    assert float((logits - wanted).abs().max() / wanted.abs().max()) < 1e-5


def test_each_tensor_has_one_place_by_order_and_shape(published: torch.nn.Module) -> None:
    state = published.state_dict()
    own = LiteBody().state_dict()
    assert len(own) == len(state) == 296
    assert [v.shape for v in own.values()] == [v.shape for v in state.values()]
    assert sum(v.numel() for name, v in own.items() if "classifier" not in name and "norm" not in name) < 3_500_000


def test_tensors_in_another_order_or_number_are_refused(published: torch.nn.Module) -> None:
    items = list(published.state_dict().items())
    swapped = [items[1], items[0], *items[2:]]
    for wrong in (swapped, items[:-1], [*items, items[0]][1:]):
        with pytest.raises(SettingsError):
            take_in_order(LiteBody(), dict(wrong))


def test_only_the_published_file_is_read(tmp_path: Path, published: torch.nn.Module) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        read_body(tmp_path / WEIGHTS)
    torch.save(published.state_dict(), tmp_path / WEIGHTS)
    with pytest.raises(SettingsError, match="is not the published file"):
        read_body(tmp_path / WEIGHTS)


def test_the_published_weights_know_a_goldfish() -> None:
    file = os.environ.get("PHOTOSEEK_LITE0")
    if not file:
        pytest.skip(f"PHOTOSEEK_LITE0 does not name {WEIGHTS}")
    body = read_body(Path(file))
    assert abs(float(body.classifier.bias.sum())) < 1.0 and body.classifier.weight.shape == (1000, 1280)
