"""Disks that refuse a write or a sync, and power cuts: what was committed is there, and the next command works.

``PHOTOSEEK_FAULTS`` (refused calls of each command, 6 by default), ``PHOTOSEEK_CUTS`` (power cuts, 6) and
``PHOTOSEEK_FAULT_SEED`` make it longer.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.crashes import Commands, Ended, Scene, survived
from tests.disk_logs import build, cut, read_log
from tests.pictures import save_picture

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

FAULTS = int(os.environ.get("PHOTOSEEK_FAULTS", "6"))
CUTS = int(os.environ.get("PHOTOSEEK_CUTS", "6"))
SEED = int(os.environ.get("PHOTOSEEK_FAULT_SEED", "1"))
ONE_WORKER = ("--workers", "1")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def commands(place: Path) -> Iterator[Commands]:
    library = build(place)
    if library is None:
        pytest.skip("there is no C compiler for the library that refuses calls")
    made = Commands(place / "models", preload=library)
    yield made
    made.close()


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
    gallery, rng = scene.copied(place / "gallery"), np.random.default_rng([SEED, len(scene.arguments[0])])
    calls = commands.run(gallery, *scene.arguments, faults={"at": 0}).counts["disk"]
    assert calls > 5
    ends: Counter[str] = Counter()
    for number in range(FAULTS):
        at = 1 + int((number + rng.random()) / FAULTS * calls)
        error, is_lasting = ((errno.ENOSPC, True), (errno.EIO, False), (errno.EIO, True))[number % 3]
        gallery = scene.copied(place / "gallery")
        ended = commands.run(gallery, *scene.arguments, faults={"at": at, "errno": error, "lasting": is_lasting})
        what = f"{' '.join(scene.arguments)}: {errno.errorcode[error]} in call {at} of {calls}, seed {SEED}"
        try:
            assert ended.code in (0, 3), ended.printed
            if ended.code == 3:
                assert "disk" in ended.printed or "cannot be" in ended.printed, ended.printed
            survived(commands, scene, gallery, ended)
        except AssertionError as wrong:
            raise AssertionError(what) from wrong
        ends[f"{errno.errorcode[error]}{' for good' if is_lasting else ''}: {ended.code}"] += 1
    print(f"{' '.join(scene.arguments)}: {dict(ends)} of {calls} calls")
    assert any(end.endswith("3") for end in ends), "no call that failed was noticed"


def test_the_power_may_fail_at_any_call(scene: Scene, commands: Commands, place: Path) -> None:
    gallery, rng = scene.copied(place / "gallery"), np.random.default_rng([SEED, 7, len(scene.arguments[0])])
    log = place / "log"
    whole = commands.run(gallery, *scene.arguments, faults={"at": 0, "log": str(log)})
    calls = read_log(log)
    before = place / "before"
    shutil.rmtree(before, ignore_errors=True)
    if scene.before is None:
        before.mkdir()
    else:
        shutil.copytree(scene.before, before)
    for number in range(CUTS):
        at = 1 + int((number + rng.random()) / CUTS * len(calls))
        cut(before, calls[:at], rng, gallery)
        try:
            survived(commands, scene, gallery, Ended(None, "", whole.states, None, {}), is_cut=True)
        except AssertionError as wrong:
            what = f"{' '.join(scene.arguments)}: the power fails after call {at} of {len(calls)}, seed {SEED}"
            raise AssertionError(what) from wrong
    assert len(calls) > 5
