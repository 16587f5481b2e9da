"""Move a finished model folder into place atomically, so that no incomplete model is ever loaded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.encoders.files.description import DESCRIPTION, read_encoder_folder
from retrieval.errors import EncoderError

SPARE_BYTES = 64 << 20
"""Kept free on the disk: a full disk is worse than a missing model."""


def folder_name(name: str) -> str:
    """``MODEL/TAG`` as a folder name: ``MODEL__TAG``; characters that a file system may refuse are replaced."""
    return re.sub(r"[^\w.+-]", "_", name.replace("/", "__")).strip(".") or "model"


@contextmanager
def staging(models_folder: Path, name: str, *, resume_key: str | None = None) -> Iterator[Path]:
    """A hidden folder to build a model in, next to its final location; one process at a time per model.

    Args:
        resume_key: what the content belongs to (a commit). A folder left by an interrupted download with the same
            key is used again, and kept if the download is interrupted again. Without a key
            the folder starts empty and is removed at the end.

    Raises:
        EncoderError: another process is installing this model.
    """
    from filelock import FileLock, Timeout

    base = folder_name(name)
    models_folder.mkdir(parents=True, exist_ok=True)
    # flock on a separate file that is never removed, so two processes cannot hold locks on two inodes.
    lock = FileLock(models_folder / f".lock-{base}", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise EncoderError(f"another process is installing {name}", "wait for it, then try again") from error
    try:
        start, key = f".staging-{base}-", folder_name(resume_key or "new").replace("-", "_")
        folder = models_folder / f"{start}{key}"
        _recover(models_folder / base)
        for left in models_folder.glob(f"{start}*"):
            # Keys have no hyphen: what has one there belongs to a model whose name begins like this one's.
            is_ours = "-" not in left.name.removeprefix(start)
            if is_ours and (left != folder or resume_key is None):
                shutil.rmtree(left)
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        finally:
            if resume_key is None and folder.exists():
                shutil.rmtree(folder)
    finally:
        lock.release()


def install(folder: Path, target: Path) -> Path:
    """Check a finished folder and rename it to ``target``; an older model there is replaced and removed.

    Raises:
        WeightsUnavailable: the folder is incomplete; nothing is changed.
        EncoderError: ``target`` is not a model folder.
    """
    read_encoder_folder(folder)
    if target.exists() and not (target / DESCRIPTION).is_file():
        raise EncoderError(f"{target} exists and is not a model folder", "move it away")
    if target.exists():
        target.rename(_aside(target))
    folder.rename(target)
    shutil.rmtree(_aside(target), ignore_errors=True)
    return target


def check_disk_space(folder: Path, needed: int) -> None:
    """Fail before a download or export that would not fit.

    Raises:
        EncoderError: less than ``needed`` bytes plus a reserve are free on the disk of ``folder``.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed + SPARE_BYTES:
        raise EncoderError(
            f"{folder} has {free / 1e6:,.0f} MB free, {(needed + SPARE_BYTES) / 1e6:,.0f} MB are needed",
            "free some space, or choose another models folder",
        )


def _aside(target: Path) -> Path:
    return target.with_name(f".replaced-{target.name}")


def _recover(target: Path) -> None:
    """Restore the old model, which a process killed between the two renames of :func:`install` leaves aside."""
    aside = _aside(target)
    if aside.exists():
        if target.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(target)
