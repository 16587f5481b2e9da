"""The sizes of a run, and the objects that its parts share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stopwatch import Stopwatch

if TYPE_CHECKING:
    from benchmarks.data import Data
    from benchmarks.peer import Rclip

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "cli")
"""``photoseek`` as started by its console script; to be run where this package can be imported."""

SERVING = "Serving"
"""The prefix of the titles of ``benchmarks.serve``."""

RANDOM = "random"
"""The model that is generated, with the cost of ViT-B-32-256."""


@dataclass(frozen=True)
class Sizes:
    """Counts of pictures, files, rows and queries.

    Attributes:
        small, large: pictures of about 500 pixels and of 12 megapixels.
        files: files of the run without changes.
        galleries: pictures in the searched galleries.
        memory: pictures of the runs whose peak memory is compared.
        vectors: vectors in the searched indexes.
        queries: warm queries per round.
    """

    small: int = 512
    large: int = 96
    files: int = 100_000
    galleries: Sequence[int] = (120, 10_000)
    memory: Sequence[int] = (1_000, 10_000)
    vectors: Sequence[int] = (10_000, 100_000)
    queries: int = 200


QUICK = Sizes(small=12, large=1, files=300, galleries=(30,), memory=(16,), vectors=(1_000,), queries=20)
"""Only shows that every part works; its figures mean nothing."""


@dataclass(frozen=True)
class Bench:
    """The input of every part.

    Attributes:
        model: name or folder, as in ``load_encoder``.
        photos: the user's own pictures, or None for generated ones.
        rclip: rclip for comparison, if given.
    """

    data: Data
    model: str
    photos: Path | None
    sizes: Sizes
    rounds: int
    stopwatch: Stopwatch
    rclip: Rclip | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables for photoseek's commands, so that a generated model counts as installed."""
        is_generated = Path(self.model).parent == self.data.models
        return {"PHOTOSEEK_MODELS": str(self.data.models)} if is_generated else {}

    def picture_sets(self) -> list[tuple[str, Path]]:
        """Title and folder of the pictures to index: the user's own, or generated ones of both sizes."""
        if self.photos is not None:
            return [(f"{self.photos.name}/", self.data.sample(self.photos, self.sizes.small))]
        return [
            ("500 px", self.data.pictures("small", self.sizes.small)),
            ("12 megapixels", self.data.pictures("large", self.sizes.large)),
        ]
