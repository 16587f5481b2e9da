"""The output folder of a training."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import SettingsError

CHECKPOINTS = "checkpoint"
REPORT = "training.json"


def check_out(out: Path, *, resume: bool) -> None:
    """Refuse to overwrite anything other than a training.

    Raises:
        SettingsError: ``out`` is a file, or a folder with other content; or a finished model without ``resume``.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise SettingsError(f"{out} is a file", "name a folder with --out")
    ours = any((out / name).exists() for name in (CHECKPOINTS, REPORT))
    if any(out.iterdir()) and not ours:
        raise SettingsError(f"{out} has other things in it", "name an empty folder with --out")
    if ours and not resume:
        raise SettingsError(f"{out} holds a training already", "say --resume to go on with it, or take another --out")
