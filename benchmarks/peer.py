"""rclip, for comparison, on the same pictures: it indexes at the first query in a folder."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stopwatch import Stopwatch, Timed

_QUESTION = "a dog on a beach"


@dataclass(frozen=True)
class Rclip:
    """An installed rclip.

    Args:
        executable: its command.
        models: a folder as in RCLIP_DATADIR, with the model in it (one with random weights and the same
            architecture has the same cost). It is linked into temporary folders, never written to.
    """

    executable: Path
    models: Path

    def scratch(self, folder: Path) -> Path:
        """Fill an empty data folder with links to the models; rclip's database there starts empty."""
        for entry in self.models.iterdir():
            if not entry.name.startswith("db.sqlite3"):
                (folder / entry.name).symlink_to(entry.resolve())
        return folder

    def index(self, stopwatch: Stopwatch, pictures: Path) -> Timed:
        """Index a folder into a new database, including one query: rclip has no command that only indexes."""
        with tempfile.TemporaryDirectory() as scratch:
            return self.ask(stopwatch, self.scratch(Path(scratch)), pictures, _QUESTION, check=True)

    def ask(self, stopwatch: Stopwatch, data: Path, pictures: Path, text: str, *, check: bool = False) -> Timed:
        """One cold query for the pictures of a folder; with ``check`` it looks for new ones first."""
        command = [str(self.executable), *([] if check else ["--no-indexing"]), "--filepath-only", text]
        environment = {"RCLIP_DATADIR": str(data)}
        return stopwatch.run(command, environment=environment, folder=pictures)


def found_rclip(executable: Path | None, models: Path | None) -> Rclip | None:
    """The peer, if it was given; raises ValueError if it is invalid."""
    if executable is None:
        return None
    where = shutil.which(executable)
    if where is None:
        raise ValueError(f"{executable} is no command")
    if models is None or not models.is_dir():
        raise ValueError("--rclip also needs --rclip-data: its data folder, with the model in it")
    return Rclip(Path(where).absolute(), models.resolve())
