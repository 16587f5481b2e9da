"""A command whose disk refuses calls, or whose power fails, at seeded moments; see ``disk_calls.c``, ``crashes.py``."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from tests.crashes import Commands, Ended, Scene, survived
from tests.disk_logs import cut, read_log


def refuse_calls(scene: Scene, commands: Commands, place: Path, number: int, rng: np.random.Generator) -> Counter[str]:
    """Let so many calls fail, one in each run; how the runs ended."""
    gallery = scene.copied(place / "gallery")
    folder = str(scene.root(gallery))
    calls = commands.run(gallery, *scene.arguments, faults={"at": 0, "folder": folder}).counts["disk"]
    assert calls > 5
    ends: Counter[str] = Counter()
    for each in range(number):
        at = 1 + int((each + rng.random()) / number * calls)
        error, is_lasting = ((errno.ENOSPC, True), (errno.EIO, False), (errno.EIO, True))[each % 3]
        gallery = scene.copied(place / "gallery")
        faults = {"at": at, "errno": error, "lasting": is_lasting, "folder": folder}
        ended = commands.run(gallery, *scene.arguments, faults=faults)
        what = f"{' '.join(scene.arguments)}: {errno.errorcode[error]} in call {at} of {calls}"
        try:
            assert ended.code in (0, 3), ended.printed
            if ended.code == 3:
                assert any(word in ended.printed.lower() for word in TOLD), ended.printed
            survived(commands, scene, gallery, ended)
        except AssertionError as wrong:
            raise AssertionError(what) from wrong
        ends[f"{errno.errorcode[error]}{' for good' if is_lasting else ''}: {ended.code}"] += 1
    print(f"{' '.join(scene.arguments)}: {dict(ends)} of {calls} calls")
    return ends


TOLD = ("disk", "cannot be", "no space left", "input/output error")


def cut_power(scene: Scene, commands: Commands, place: Path, number: int, rng: np.random.Generator) -> int:
    """Let the power fail so many times; how many calls of the command change the disk."""
    gallery, log = scene.copied(place / "gallery"), place / "log"
    root, before = scene.root(gallery), place / "before"
    shutil.rmtree(before, ignore_errors=True)
    shutil.copytree(root, before)
    faults = {"at": 0, "log": str(log), "folder": str(root)}
    whole = commands.run(gallery, *scene.arguments, faults=faults)
    after = place / "after"
    shutil.rmtree(after, ignore_errors=True)
    shutil.copytree(root, after)
    calls = read_log(log)
    for each in range(number):
        at = 1 + int((each + rng.random()) / number * len(calls))
        cut(before, calls[:at], rng, root, times_of=(after, before))
        try:
            survived(commands, scene, gallery, Ended(None, "", whole.states, None, {}), is_cut=True)
        except AssertionError as wrong:
            what = f"{' '.join(scene.arguments)}: the power fails after call {at} of {len(calls)}"
            raise AssertionError(what) from wrong
    return len(calls)
