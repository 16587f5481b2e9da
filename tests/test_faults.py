"""Disks that refuse a write or a sync, and power cuts: what was committed is there, and the next command works.

``PHOTOSEEK_FAULTS`` (refused calls of each command, 6 by default), ``PHOTOSEEK_CUTS`` (power cuts, 6) and
``PHOTOSEEK_FAULT_SEED`` make it longer.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.crashes import Commands, Scene
from tests.disk_faults import cut_power, refuse_calls
from tests.disk_logs import build
from tests.pictures import save_picture

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

FAULTS = int(os.environ.get("PHOTOSEEK_FAULTS", "6"))
CUTS = int(os.environ.get("PHOTOSEEK_CUTS", "6"))
SEED = int(os.environ.get("PHOTOSEEK_FAULT_SEED", "1"))
ONE_WORKER = ("--workers", "1")


@pytest.fixture(scope="module")
def preload(place: Path) -> Path:
    """The library that refuses calls, for the processes of ``commands``."""
    return build(place)


@pytest.fixture(scope="module")
def photos(place: Path) -> Path:
    folder = place / "photos"
    for number in range(12):
        colour = ("red", "green", "blue", "yellow")[number % 4]
        save_picture(folder / f"album {number // 6}" / f"picture-{number:02}.jpg", colour, seed=number, size=(24, 24))
    return folder


@pytest.fixture(scope="module")
def labelled(commands: Commands, photos: Path, place: Path) -> Path:
    gallery = place / "labelled"
    for arguments in (
        ("index", str(photos), *ONE_WORKER),
        ("label", str(photos / "album 0"), "--tag", "beach,sea", "--caption", "by the sea"),
        ("tag", "--labels", "cat,dog"),
    ):
        ended = commands.run(gallery, *arguments)
        assert ended.code == 0, ended.printed
    return gallery


SCENES = ["index, a first time", "label", "tag", "forget", "forget --purge"]


@pytest.fixture(scope="module", params=SCENES)
def scene(request: pytest.FixtureRequest, commands: Commands, photos: Path, place: Path) -> Scene:
    name = request.param
    if name == "index, a first time":
        made = Scene(None, ("index", str(photos), *ONE_WORKER))
    else:
        gallery = request.getfixturevalue("labelled")
        album = str(photos / "album 1")
        arguments = {
            "label": ("label", album, "--tag", "sand", "--caption", "another one"),
            "tag": ("tag", "--labels", "red,green"),
            "forget": ("forget", album),
            "forget --purge": ("forget", "--purge", album),
        }[name]
        made = Scene(gallery, arguments, is_repeatable="forget" not in name)
    made.prepare(commands, place / "gallery")
    return made


def test_each_call_to_a_disk_may_fail(scene: Scene, commands: Commands, place: Path) -> None:
    rng = np.random.default_rng([SEED, len(scene.arguments[0])])
    ends = refuse_calls(scene, commands, place, FAULTS, rng)
    assert any(end.endswith("3") for end in ends), "no call that failed was noticed"


def test_the_power_may_fail_at_any_call(scene: Scene, commands: Commands, place: Path) -> None:
    rng = np.random.default_rng([SEED, 7, len(scene.arguments[0])])
    assert cut_power(scene, commands, place, CUTS, rng) > 5
