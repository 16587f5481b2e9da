"""How many kinds of RAW files are read: ``python -m benchmarks.raw FOLDER``, with samples in it or in its subfolders.

Beside each file stands what LibRaw alone makes of it, in a process of its own: its largest preview if that has at
least 256 pixels, else its samples, decoded. A kind is an extension. Files that LibRaw cannot read, or whose samples
are not there, as where only the header was kept, are listed but do not count in the share of kinds. With ``exiftool``
on the path (or ``--exiftool``), dates, cameras and orientations are compared with what it finds, in such files, too.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.machine import machine_table
from benchmarks.measure import tell
from benchmarks.tables import Table
from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.decoders import Decoded, shared
from retrieval.pictures.decoding import MAX_PIXELS
from retrieval.pictures.exif import Exif
from retrieval.pictures.formats import RAW_EXTENSIONS
from retrieval.pictures.images import read_picture
from retrieval.pictures.raw_detection import is_cut_short
from retrieval.pictures.raw_exif import read_raw_exif

LEAST = 256
"""Pixels of the longer side of a preview that is shown if the samples cannot be decoded."""

SMALL = Preprocessing(size=64)
TAGS = ("DateTimeOriginal", "CreateDate", "Model", "Orientation")


class Sample(NamedTuple):
    """One file.

    Args:
        libraw: what LibRaw makes of it: "preview 1620x1080", "samples 3039x2014", or the reason why not.
        by_libraw: whether that is a picture.
        ours: "RAW 3039x2014", or the reason why not.
        is_read: whether that is a picture.
        right: date, camera and orientation as exiftool finds them; None: it finds none, or was not asked.
    """

    path: Path
    size: int
    libraw: str
    by_libraw: bool
    ours: str
    is_read: bool
    right: dict[str, bool | None]

    @property
    def kind(self) -> str:
        """The extension, lower-case."""
        return self.path.suffix.lower().removeprefix(".")


def look_at(path: Path, known: dict[str, Any]) -> Sample:
    """Read one file in both ways.

    Args:
        known: exiftool's tags; empty if it was not asked.
    """
    data = path.read_bytes()
    libraw, by_libraw = _by_libraw(data)
    try:
        picture = read_picture(data, SMALL)
        ours, is_read, exif = f"{picture.format} {picture.width}x{picture.height}", True, picture.exif
    except UnreadableImage as error:
        ours, is_read, exif = error.reason, False, read_raw_exif(data)
    return Sample(path, len(data), libraw, by_libraw, ours, is_read, _right(exif, known))


def _by_libraw(data: bytes) -> tuple[str, bool]:
    reason = "no picture"
    for work, name, least in (("raw preview", "preview", LEAST), ("raw decoded", "samples", 1)):
        if name == "samples" and is_cut_short(data):
            return "the samples are not there", False
        try:
            found = shared.decode(work, data, "RAW", max_pixels=MAX_PIXELS)
        except UnreadableImage as error:
            reason = error.reason
            continue
        size = _size(found)
        if max(size) >= least:
            return f"{name} {size[0]}x{size[1]}", True
    return reason, False


def _size(found: Decoded) -> tuple[int, int]:
    if found.form == "JPEG":
        with Image.open(io.BytesIO(found.picture)) as preview:
            return preview.size
    return found.about["size"] if found.form == "RGB" else (0, 0)


def _right(exif: Exif, known: dict[str, Any]) -> dict[str, bool | None]:
    dates = [str(known[tag])[:19] for tag in TAGS[:2] if str(known.get(tag, ""))[:4].strip("0: ")]
    model, turn = known.get("Model"), known.get("Orientation")
    ours = exif.taken_at.strftime("%Y:%m:%d %H:%M:%S") if exif.taken_at else None
    return {
        "date": ours == dates[0] if dates else None,
        "camera": str(model).strip() in (exif.camera or "") if model else None,
        "orientation": exif.orientation == turn if turn in range(1, 9) else None,
    }


def ask_exiftool(command: Sequence[str], paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """exiftool's tags of files, by path; it says nothing of files that it does not know."""
    asked = [*command, "-j", "-n", *(f"-{tag}" for tag in TAGS), *map(str, paths)]
    said = subprocess.run(asked, capture_output=True, check=False).stdout
    return {Path(each["SourceFile"]): each for each in json.loads(said or "[]")}


def tables(samples: Sequence[Sample]) -> list[Table]:
    """By kind, and file by file."""
    kinds: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        kinds[sample.kind].append(sample)
    rows = [
        (kind, str(len(of)), str(sum(s.by_libraw for s in of)), str(sum(s.is_read for s in of)),
         *(_share([s.right[what] for s in of]) for what in ("date", "camera", "orientation")))
        for kind, of in sorted(kinds.items())
    ]  # fmt: skip
    possible = {kind for kind, of in kinds.items() if any(s.by_libraw for s in of)}
    read = {kind for kind in possible if all(s.is_read for s in kinds[kind] if s.by_libraw)}
    share = f" ({len(read) / len(possible):.0%})" if possible else ""
    note = f"of {len(possible)} kinds of which LibRaw reads a sample, {len(read)} are read{share}"
    head = ("kind", "files", "read by LibRaw", "read", "date right", "camera right", "orientation right")
    files = [(str(s.path.name), f"{s.size:,}", s.libraw, s.ours) for s in samples]
    return [
        Table("RAW by kind", head, rows, [note]),
        Table("RAW by file", ("file", "bytes", "LibRaw alone", "photoseek"), files, is_text=True),
    ]


def _share(found: Sequence[bool | None]) -> str:
    known = [each for each in found if each is not None]
    return f"{sum(known)} of {len(known)}" if known else "-"


def main() -> None:
    """Read the samples, and print both tables."""
    parser = argparse.ArgumentParser(description="the share of kinds of RAW files that are read")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exiftool", help="its command, default: the one on the path")
    given = parser.parse_args()
    paths = sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in RAW_EXTENSIONS)
    if not paths:
        sys.exit(f"no RAW files in {given.folder}\ngive a folder with samples, such as those of raw.pixls.us")
    command = shlex.split(given.exiftool) if given.exiftool else list(filter(None, [shutil.which("exiftool")]))
    known = ask_exiftool(command, paths) if command else {}
    samples = []
    for path in paths:
        tell(str(path.relative_to(given.folder)))
        samples.append(look_at(path, known.get(path, {})))
    shared.close()
    print("\n".join(table.to_markdown() for table in [machine_table(), *tables(samples)]))


if __name__ == "__main__":
    main()
