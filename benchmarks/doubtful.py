"""What the deadline per file costs ordinary pictures: CPU time of this process and of the decoder processes.

``python -m benchmarks.doubtful FOLDER [--runs 9]``: the pictures below a folder, decoded with the check of their
structure and without it, and formats that are always decoded in another process, there and here. The runs alternate,
and medians are printed.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.decoding import MAX_PIXELS, Picture, picture_in
from retrieval.pictures.doubtful import doubt_of
from retrieval.pictures.images import IMAGE_EXTENSIONS, read_picture
from retrieval.pictures.memory import shared

_TOWER = Preprocessing(224)
_ELSEWHERE = ("AVIF", "HEIF", "JPEG2000")
_MEGAPIXELS = 12


def _cpu_seconds() -> float:
    """Of this process and its children, running ones included."""
    own = time.process_time()
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            own += (int(fields[11]) + int(fields[12])) / 100
    return own


def _here(data: bytes) -> Picture:
    return picture_in(data, _TOWER, MAX_PIXELS, shared)


def _checked(data: bytes) -> Picture:
    return read_picture(data, _TOWER)


def _spent(read: Callable[[bytes], Picture], files: Sequence[bytes]) -> float:
    started = _cpu_seconds()
    for data in files:
        try:
            read(data)
        except UnreadableImage:
            continue
    return _cpu_seconds() - started


def _compared(files: Sequence[bytes], runs: int) -> tuple[float, float]:
    """Median CPU seconds here, and with the check, of alternating runs; one before them is not counted."""
    times: dict[Callable[[bytes], Picture], list[float]] = {_here: [], _checked: []}
    for number in range(runs + 1):
        for read, spent in times.items():
            seconds = _spent(read, files)
            if number:
                spent.append(seconds)
    return statistics.median(times[_here]), statistics.median(times[_checked])


def _as(form: str, picture: Image.Image) -> bytes:
    made = io.BytesIO()
    picture.save(made, form, **({"speed": 10} if form == "AVIF" else {}))
    return made.getvalue()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    asked = parser.parse_args()
    paths = sorted(path for path in asked.folder.rglob("*") if path.suffix.lower() in IMAGE_EXTENSIONS)
    files = [path.read_bytes() for path in paths]
    plain = [data for data in files if doubt_of(data) is None]
    large = Image.open(io.BytesIO(max(plain, key=len))).convert("RGB").resize((4000, 1_000_000 * _MEGAPIXELS // 4000))
    cases = {"pictures of the folder": plain, f"JPEG, {_MEGAPIXELS} megapixels": [_as("JPEG", large)] * 5}
    for form in _ELSEWHERE:
        try:
            cases[f"{form}, {_MEGAPIXELS} megapixels, elsewhere"] = [_as(form, large)] * 2
        except (KeyError, OSError):
            sys.stderr.write(f"no encoder for {form}\n")
    for name, given in cases.items():
        before, after = _compared(given, asked.runs)
        print(
            f"{name:<40} {len(given):>5} files  {before:8.3f} s  {after:8.3f} s  {100 * (after / before - 1):+6.2f} %"
        )


if __name__ == "__main__":
    main()
