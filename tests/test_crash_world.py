"""Commands of labels, albums, copies, exports, XMP and models killed at counted steps, as in test_crash_commands.py.

``PHOTOSEEK_CRASH_KILLS`` (kills of each command, 8 by default) and ``PHOTOSEEK_CRASH_SEED`` make it longer.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.crashes import Commands, killed
from tests.world_scenes import NAMES, Worlds

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

KILLS = int(os.environ.get("PHOTOSEEK_CRASH_KILLS", "8"))
SEED = int(os.environ.get("PHOTOSEEK_CRASH_SEED", "1"))


@pytest.fixture(scope="module")
def worlds(commands: Commands, place: Path) -> Worlds:
    return Worlds(commands, place)


@pytest.mark.parametrize("name", NAMES)
def test_a_command_killed_at_any_moment_loses_nothing_and_the_next_one_works(
    name: str, commands: Commands, worlds: Worlds, place: Path
) -> None:
    scene, rng = worlds.scene(name), np.random.default_rng([SEED, len(name), ord(name[-1])])
    scene.prepare(commands, place / "whole")
    ends: Counter[str] = Counter()
    for point in scene.points(rng, KILLS):
        try:
            was_killed = killed(commands, scene, place / "gallery", point)
        except AssertionError as error:
            raise AssertionError(f"{name}, killed at {point} of {scene.counts}, seed {SEED}") from error
        ends[point[0] if was_killed else "ended before"] += 1
    print(f"{name}: {dict(ends)} of {scene.counts}")
    assert ends["call"] and sum(ends.values()) - ends["ended before"] >= KILLS // 2
