"""Disks that refuse calls and power cuts, as in test_faults.py, for labels, albums, copies, exports, XMP and models.

``PHOTOSEEK_WORLD_FAULTS`` (refused calls of each command, 3 by default), ``PHOTOSEEK_WORLD_CUTS`` (power cuts, 1) and
``PHOTOSEEK_FAULT_SEED`` make it longer.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.crashes import Commands
from tests.disk_faults import cut_power, refuse_calls
from tests.disk_logs import build
from tests.world_scenes import NAMES, Worlds

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

FAULTS = int(os.environ.get("PHOTOSEEK_WORLD_FAULTS", "3"))
CUTS = int(os.environ.get("PHOTOSEEK_WORLD_CUTS", "1"))
SEED = int(os.environ.get("PHOTOSEEK_FAULT_SEED", "1"))
READ = {"tune"}
"""Commands to which a refused call matters little: what they write can be made again."""


@pytest.fixture(scope="module")
def preload(place: Path) -> Path:
    """The library that refuses calls, for the processes of ``commands``."""
    return build(place)


@pytest.fixture(scope="module")
def worlds(commands: Commands, place: Path) -> Worlds:
    return Worlds(commands, place)


@pytest.mark.parametrize("name", NAMES)
def test_each_call_to_a_disk_may_fail(name: str, commands: Commands, worlds: Worlds, place: Path) -> None:
    scene, rng = worlds.scene(name), np.random.default_rng([SEED, len(name), ord(name[-1])])
    scene.prepare(commands, place / "whole")
    ends = refuse_calls(scene, commands, place, FAULTS, rng)
    assert name in READ or any(end.endswith("3") for end in ends), "no call that failed was noticed"
    if CUTS:
        assert cut_power(scene, commands, place, CUTS, rng) > 5
