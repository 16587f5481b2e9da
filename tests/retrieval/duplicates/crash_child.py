"""Moving and putting back, killed at every step that changes a disk.

``python -m tests.retrieval.duplicates.crash_child FOLDER [copy] [undo]`` prints a line of JSON: how many steps there
were, and what went wrong. One fork each; everything is imported before the first one, and threads and databases exist
only in the forks.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import alembic.command  # noqa: F401
import filelock  # noqa: F401

import retrieval.catalog.writer  # noqa: F401
from retrieval.duplicates import files
from retrieval.duplicates.finding import find_duplicates
from retrieval.duplicates.groups import Group
from retrieval.duplicates.undo import undo_trash
from retrieval.gallery import Gallery
from tests.retrieval.duplicates.collection import contents, trash

CHANGES = {"link", "unlink", "rename", "replace", "write", "fsync", "mkdir", "rmdir", "commit"}


def kill_at(step: int) -> None:
    """Die without a word before the ``step``-th call that changes a disk; 0 counts only."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        if event == "c_call" and argument.__name__ in CHANGES:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)


def killed(step: int, what: Callable[[], object]) -> bool:
    """Run in a fork that is killed at a step; False if it came to its end."""
    child = os.fork()
    if child == 0:
        kill_at(step)
        try:
            what()
        except BaseException:
            os._exit(3)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"step {step} failed by itself")
    return False


def somewhere(pictures: Path, gallery: Path) -> set[bytes]:
    return {data for folder in (pictures, gallery / "trash") for data, _ in contents(folder).values()}


def try_every_step(place: Path, groups: list[Group], *, kill_undo: bool) -> dict[str, object]:
    """``place`` holds ``pictures`` and ``gallery``; both are put back before each step."""
    pictures, gallery = place / "pictures", place / "gallery"
    kept = place / "kept"
    before = contents(pictures)
    if kill_undo:
        killed(0, lambda: trash(Gallery(gallery), groups))
    for folder in (pictures, gallery):
        shutil.copytree(folder, kept / folder.name)
    wrong = ["nothing was moved"] if kill_undo == (contents(pictures) == before) else []
    step = 0
    while True:
        step += 1
        for folder in (pictures, gallery):
            shutil.rmtree(folder)
            shutil.copytree(kept / folder.name, folder)
        act = undo_trash if kill_undo else partial(trash, groups=groups)
        more = killed(step, partial(act, Gallery(gallery)))
        if not {data for data, _ in before.values()} <= somewhere(pictures, gallery):
            wrong.append(f"a picture was lost at step {step}")
        killed(0, lambda: undo_trash(Gallery(gallery)))
        if contents(pictures) != before:
            wrong.append(f"not everything is back at step {step}")
        if list((gallery / "trash").glob("*/*")):
            wrong.append(f"the trash is not empty at step {step}")
        if not more or wrong:
            return {"steps": step, "wrong": wrong}


def no_links(source: str, target: str, **_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


if __name__ == "__main__":
    root = Path(sys.argv[1])
    if "copy" in sys.argv:
        files.os = type("NoLinks", (), {**vars(os), "link": staticmethod(no_links)})  # type: ignore[assignment]
    found = list(find_duplicates(Gallery(root / "gallery")).groups)
    print(json.dumps(try_every_step(root, found, kill_undo="undo" in sys.argv)))
