"""Commands that write labels, albums, copies, exports, XMP and models, as scenes of a world that can be made again: the
gallery, the pictures beside it, and the folders into which commands write."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from retrieval.encoders.adapter import write_adapter
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.maintenance.backup import back_up, backups_in, restore
from tests.crashes import Commands, Scene, meaning
from tests.earlier import RELEASED
from tests.pictures import save_picture
from tests.retrieval.states import rows
from tests.retrieval.xmp_files import packet

ONE_WORKER = ("--workers", "1")
_DATE = re.compile(
    rb"(MetadataDate)(=\"[^\"]*\"|>[^<]*<)|(end=\"w\"\?>\n).{4}", re.DOTALL
)  # and the checksum of the chunk


@dataclass
class WorldScene(Scene):
    """A command, and the world that it is killed in.

    Attributes:
        pristine: the world before the command; copied to ``world`` each time, since catalogs have absolute paths.
        looked_at: what else the command writes, in a form that two runs have in common.
        undo: a command after which the pictures' folder is byte for byte as before.
    """

    pristine: Path = Path()
    world: Path = Path()
    looked_at: Callable[[Path], Any] = lambda _world: None
    undo: Sequence[str] = ()

    def copied(self, place: Path) -> Path:
        shutil.rmtree(self.world, ignore_errors=True)
        shutil.copytree(self.pristine, self.world)
        return self.world / "gallery"

    def root(self, gallery: Path) -> Path:
        return self.world

    def outside(self) -> Any:
        return self.looked_at(self.world)

    def finish(self, commands: Commands, gallery: Path) -> None:
        if self.undo:
            ended = commands.run(gallery, *self.undo)
            assert ended.code == 0, ended.printed
            assert contents(self.world / "pictures") == contents(self.pristine / "pictures")


def contents(folder: Path) -> dict[str, bytes]:
    """Relative name -> content of every file but what a killed run left, which is removed when it is an hour old."""
    return {
        str(path.relative_to(folder)): _DATE.sub(rb"\1\3", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (path.name.startswith(".photoseek-") and path.suffix == ".part")
    }


def _exported(world: Path) -> Any:
    return contents(world / "exported")


def _pictures(world: Path) -> Any:
    return contents(world / "pictures")


def _backups(world: Path) -> Any:
    """What each backup in the folder gives back; two of the same state count once."""
    found = set()
    for number, backup in enumerate(backups_in(world / "backups")):
        target = world / f"restored-{number}"
        restore(Gallery(target), world / "backups", backup)
        found.add(repr(meaning(target)))
        shutil.rmtree(target)
    left = [path.name for path in (world / "backups").iterdir() if path.name.startswith(".")]
    return found, left


def _tuned(world: Path) -> Any:
    return sorted(path.name for path in (world / "gallery" / "index").rglob("*") if path.suffix != ".faiss")


class Worlds:
    """Makes the scenes; what they have in common is made once.

    Args:
        place: an empty folder.
    """

    def __init__(self, commands: Commands, place: Path) -> None:
        self._commands, self._place, self._base = commands, place, place / "base"
        self.world = place / "world"
        self._make_base()

    def _run(self, *arguments: str) -> None:
        ended = self._commands.run(self.world / "gallery", *arguments)
        assert ended.code == 0, ended.printed

    def _make_base(self) -> None:
        pictures = self.world / "pictures"
        for number in range(12):
            colour, name = ("red", "green", "blue", "yellow")[number % 4], f"{number:02}"
            ending = "png" if number == 4 else "jpg"
            save_picture(pictures / f"day {number // 6}" / f"{name}.{ending}", colour, seed=number, size=(24, 24))
        foreign = packet(["theirs"], description="by another program")
        (pictures / "day 1" / "09.jpg.xmp").write_bytes(foreign)
        with Image.open(pictures / "day 0" / "01.jpg") as image:
            image.save(pictures / "day 0" / "01.jpg", quality=95, xmp=foreign)
        self._run("index", str(pictures), "--index", "HNSW32", *ONE_WORKER)
        self._run("label", str(pictures), "--tag", "beach,sea", "--caption", "by the sea", "--rating", "3")
        self._run("label", "--import-xmp")
        self._run("album", "create", "Summer", *self._named(0, 1, 2, 3))
        self._run("album", "create", "Old", *self._named(5))
        self._run("album", "delete", "Old", "--yes")
        # A copy of labels is written once an hour: the one so far does not know of the last changes.
        shutil.rmtree(self.world / "gallery" / "label-copies")
        self._run("label", self._named(7)[0], "--favourite")
        assert list((self.world / "gallery" / "label-copies").glob("*.sqlite"))
        shutil.copytree(self.world, self._base)

    def _named(self, *numbers: int) -> list[str]:
        return [
            str(self.world / "pictures" / f"day {number // 6}" / f"{number:02}.{'png' if number == 4 else 'jpg'}")
            for number in numbers
        ]

    def _pristine(self, name: str, change: Callable[[], None]) -> Path:
        """The world after a change of the base."""
        pristine = self._place / f"before {name.replace('/', ' ')}"
        shutil.rmtree(self.world, ignore_errors=True)
        shutil.copytree(self._base, self.world)
        change()
        shutil.copytree(self.world, pristine)
        return pristine

    def scene(self, name: str) -> WorldScene:
        """The scene of a command by its name in ``NAMES``."""
        made: WorldScene = getattr(self, "_" + re.sub(r"\W+", "_", name))(name)
        return made

    def _of(self, name: str, *arguments: str, change: Callable[[], None] = lambda: None, **more: Any) -> WorldScene:
        pristine = self._pristine(name, change)
        return WorldScene(pristine / "gallery", arguments, pristine=pristine, world=self.world, **more)

    def _album_create(self, name: str) -> WorldScene:
        return self._of(name, "album", "create", "Winter", *self._named(6, 7), is_repeatable=False)

    def _album_add(self, name: str) -> WorldScene:
        return self._of(name, "album", "add", "Summer", *self._named(6, 7))

    def _album_remove(self, name: str) -> WorldScene:
        return self._of(name, "album", "remove", "Summer", *self._named(1, 3))

    def _album_order(self, name: str) -> WorldScene:
        return self._of(name, "album", "order", "Summer", *self._named(3, 0))

    def _album_delete(self, name: str) -> WorldScene:
        return self._of(name, "album", "delete", "Summer", "--yes", is_repeatable=False)

    def _album_undelete(self, name: str) -> WorldScene:
        return self._of(name, "album", "undelete", "Old", is_repeatable=False)

    def _label_stars(self, name: str) -> WorldScene:
        return self._of(name, "label", *self._named(0, 8), "--rating", "5", "--favourite", "--hide")

    def _label_write_xmp(self, name: str) -> WorldScene:
        asked = ("label", "--write-xmp", "--yes")
        return self._of(name, *asked, looked_at=_pictures, undo=("label", "--undo-xmp", "--yes"))

    def _label_embed(self, name: str) -> WorldScene:
        day = str(self.world / "pictures" / "day 0")
        asked = ("label", day, "--write-xmp", "--embed", "--yes")
        scene = self._of(name, *asked, looked_at=_pictures, undo=("label", "--undo-xmp", "--yes"))
        scene.is_dated = True
        return scene

    def _backup(self, name: str) -> WorldScene:
        def change() -> None:
            back_up(Gallery(self.world / "gallery"), self.world / "backups")
            self._run("label", self._named(8)[0], "--tag", "since")

        return self._of(name, "backup", str(self.world / "backups"), change=change, looked_at=_backups)

    def _restore(self, name: str) -> WorldScene:
        def change() -> None:
            back_up(Gallery(self.world / "gallery"), self.world / "backups")
            self._run("label", str(self.world / "pictures"), "--remove-tag", "beach", "--caption", "a mistake")
            self._run("forget", *self._named(6, 7))

        scene = self._of(name, "restore", str(self.world / "backups"), "--yes", change=change)
        scene.is_exchanged = True
        return scene

    def _restore_labels(self, name: str) -> WorldScene:
        def change() -> None:
            shutil.move(self.world / "gallery" / "label-copies", self.world / "label-copies")
            shutil.rmtree(self.world / "gallery")
            self._run("index", str(self.world / "pictures"), *ONE_WORKER)
            shutil.move(self.world / "label-copies", self.world / "gallery" / "label-copies")

        return self._of(name, "restore", "--labels", change=change)

    def _export(self, name: str) -> WorldScene:
        return self._of(name, "export", str(self.world / "exported"), "--tag", "sea", looked_at=_exported)

    def _tune(self, name: str) -> WorldScene:
        return self._of(name, "tune", looked_at=_tuned)

    def _switch_of_model(self, name: str) -> WorldScene:
        base, rng = load_encoder("builtin-224").spec, np.random.default_rng(3)
        matrix = np.eye(base.dim) + 0.1 * rng.normal(size=(base.dim, base.dim))
        mine = self._place / "mine"
        write_adapter(mine, base, matrix.astype(np.float32), np.zeros(base.dim, np.float32), "mine")
        return self._of(name, "index", "--model", str(mine), *ONE_WORKER)

    def _a_gallery_of_release_0_1_0(self, name: str) -> WorldScene:
        def change() -> None:
            shutil.rmtree(self.world)
            self.world.mkdir()
            RELEASED[0].unpack(self.world)
            assert len(rows(Gallery(self.world / "gallery"), "SELECT id FROM images")) == 5

        return self._of(name, "index", *ONE_WORKER, change=change, is_renewed=True)


NAMES = [
    "album create", "album add", "album remove", "album order", "album delete", "album undelete", "label stars",
    "label write-xmp", "label embed", "backup", "restore", "restore labels", "export", "tune", "switch of model",
    "a gallery of release 0.1.0",
]  # fmt: skip
