"""The scale of an experiment: seeds, steps, pictures, and the width of its models."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.errors import SettingsError


@dataclass(frozen=True)
class Setting:
    """One scale for all experiments, so that their figures can be compared.

    Args:
        name: of the setting.
        seeds: how often each training is repeated; an interval needs two.
        steps, batch: of a training; experiments that use more or fewer say so.
        rate: the highest learning rate.
        classes: maximum; chosen evenly from the sorted names, in which neighbours are often similar.
        train, test: maximal number of pictures per class for training and testing.
        size: side of the models' input, pixels.
        width, layers, heads: of the transformers.
    """

    name: str
    seeds: int
    steps: int
    batch: int
    rate: float
    classes: int
    train: int
    test: int
    size: int
    width: int
    layers: int
    heads: int = 3

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise SettingsError(f"{self.seeds} training has no spread to make an interval of", "give --seeds 2 or more")
        if self.steps < 2:
            raise SettingsError(f"{self.steps} steps teach nothing", "give --steps 2 or more")

    @property
    def patch(self) -> int:
        """Side of a patch in experiments about something else: 16 tokens per picture."""
        return self.size // 4


FULL = Setting(
    "full", seeds=5, steps=300, batch=64, rate=1e-3, classes=20, train=400, test=50, size=64, width=96, layers=4
)
"""Takes minutes per experiment on two cores."""

QUICK = Setting(
    "quick", seeds=2, steps=6, batch=16, rate=1e-3, classes=4, train=16, test=8, size=32, width=24, layers=2
)
"""Takes seconds: only tests that everything runs."""
