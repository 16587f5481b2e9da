"""The files that training writes next to the model: a table of improvements, and paths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.tables import Cell, Report, Table

if TYPE_CHECKING:
    from retrieval.lab.evaluation.bootstrap import Estimate

CHECKPOINTS = "checkpoint"
REPORT = "training.json"


def before_after(about: dict[str, Cell], before: dict[str, Estimate], after: dict[str, Estimate]) -> Report:
    """The table of what a training gained, on pictures that it did not see."""
    rows = tuple((name, before[name], after[name]) for name in before)
    note = "on held-out pictures; value (95 % interval, queries drawn again)"
    return Report(about, (Table("gained", ("metric", "before", "after"), rows),), (note,))


def check_out(out: Path, *, resume: bool) -> None:
    """Refuse to write over something that is no training of ours.

    Raises:
        SettingsError: ``out`` is a file, or a folder with other things in it; or a finished model without ``resume``.
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
