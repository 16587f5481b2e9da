"""``photoseek watch`` while files come, change, move and go: is anything lost, and how long until it is in the index?

::

    python -m benchmarks.watch                          10,000 events, 40 a second
    python -m benchmarks.watch --events 500 --rate 20 --seed 7
    python -m benchmarks.watch --flood 100000           so many files at once, without other events

Events are drawn with a seed: copies in one go and in pieces, copies under a temporary name that is then renamed, other
content at the same path, renames, moves between folders, in from outside and out again, whole folders moved in and
renamed, and deletions. Latency is from the moment when a file is complete (or gone) to the moment when the catalog, as
any search reads it, says so; what is changed again before it was seen is not counted. At the end the catalog is
compared with the disk: every file by path, size and time of modification. Half of a flood is moved in as one folder,
half is written file by file, as fast as the disk takes it; the watcher's peak of memory is told. Progress goes to
stderr, results to stdout.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import machine_table
from benchmarks.measure import percentile, tell
from benchmarks.settings import ROOT
from benchmarks.tables import Table
from retrieval.errors import RetrievalError
from retrieval.filters import Filter
from retrieval.gallery import Gallery

CONTENTS = 400
"""Different pictures: what is copied was often seen before, as with people; each is encoded once."""

SIDE = 48
PATIENCE_S = 300.0
LOOK_S = 0.05

State = tuple[int, int]
"""Size and time of modification of a file."""


class Disk:
    """Folders in which things happen, and what is expected of the catalog.

    Args:
        place: an empty folder.
    """

    def __init__(self, place: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.photos, self.outside = place / "photos", place / "outside"
        self.folders = [self.photos / f"{year}" / f"{month:02}" for year in (2023, 2024) for month in range(1, 7)]
        for folder in (*self.folders, self.outside):
            folder.mkdir(parents=True)
        self.contents = [_picture(seed, number, place / "one.jpg") for number in range(CONTENTS)]
        self.names: list[Path] = []
        self.done: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.pending: dict[str, tuple[State | None, float]] = {}
        self.superseded = 0
        self._number = 0

    def event(self) -> None:
        """One event."""
        kinds = (
            [self.create] * 6 + [self.in_pieces] * 2 + [self.under_temporary_name] * 2 + [self.change] * 3
            + [self.rename] * 3 + [self.move_out_and_in] * 2 + [self.folder_in] + [self.delete] * 4
        )  # fmt: skip
        act = self.random.choice(kinds)
        if len(self.names) < 50 or (act is self.delete and len(self.names) < 500):
            act = self.create
        self.done[act.__name__.replace("_", " ")] += 1
        act()

    def _new(self) -> Path:
        self._number += 1
        return self.random.choice(self.folders) / f"IMG {self._number:05}.jpg"

    def _content(self) -> bytes:
        return self.random.choice(self.contents)

    def expect(self, path: Path, *, gone: bool = False) -> None:
        """From now on the catalog should know what is at a path."""
        state = None
        if not gone:
            found = path.stat()
            state = (found.st_size, found.st_mtime_ns)
        with self.lock:
            self.superseded += str(path) in self.pending
            self.pending[str(path)] = (state, time.monotonic())

    def create(self) -> None:
        path = self._new()
        path.write_bytes(self._content())
        self.names.append(path)
        self.expect(path)

    def in_pieces(self) -> None:
        path, data = self._new(), self._content()
        cuts = sorted(self.random.sample(range(1, len(data)), 3))
        with path.open("wb", buffering=0) as file:
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                file.write(data[start:end])
                time.sleep(self.random.choice([0.0, 0.02, 0.2]))
        self.names.append(path)
        self.expect(path)

    def under_temporary_name(self) -> None:
        path = self._new()
        name = self.random.choice(["{}.part", ".{}.Ab12Cd", "{}.crdownload", ".syncthing.{}.tmp", "~{}.tmp"])
        draft = path.with_name(name.format(path.name))
        draft.write_bytes(self._content())
        time.sleep(self.random.choice([0.0, 0.1]))
        draft.rename(path)
        self.names.append(path)
        self.expect(path)

    def change(self) -> None:
        path = self.random.choice(self.names)
        path.write_bytes(self._content())
        self.expect(path)

    def rename(self) -> None:
        before, after = self._take(), self._new()
        before.rename(after)
        self.names.append(after)
        self.expect(before, gone=True)
        self.expect(after)

    def move_out_and_in(self) -> None:
        before, after = self._take(), self._new()
        between = self.outside / before.name
        before.rename(between)
        self.expect(before, gone=True)
        time.sleep(self.random.choice([0.0, 0.1]))
        between.rename(after)
        self.names.append(after)
        self.expect(after)

    def folder_in(self) -> None:
        """A folder with pictures is moved in, and renamed at once."""
        self._number += 1
        made = self.outside / f"trip {self._number}"
        (made / "day").mkdir(parents=True)
        files = [made / f"{self._number} a.jpg", made / "day" / f"{self._number} b.jpg"]
        for file in files:
            file.write_bytes(self._content())
        first = self.random.choice(self.folders) / made.name
        made.rename(first)
        last = first.with_name(f"{first.name} renamed")
        first.rename(last)
        for file in files:
            path = last / file.relative_to(made)
            self.names.append(path)
            self.expect(path)

    def flood(self, files: int) -> None:
        """Files in folders of 100: half of them moved in at once, half written where they belong."""
        made, written = self.outside / "flood", self.photos / "written"
        moved = [made / f"{number // 100:04}" / f"{number}.jpg" for number in range(files // 2)]
        for file in moved:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._content())
        made.rename(self.photos / "moved")
        for file in moved:
            self.expect(self.photos / "moved" / file.relative_to(made))
        for number in range(files // 2, files):
            file = written / f"{number // 100:04}" / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._content())
            self.expect(file)
        self.done["files of a flood"] += files

    def delete(self) -> None:
        path = self._take()
        path.unlink()
        self.expect(path, gone=True)

    def _take(self) -> Path:
        return self.names.pop(self.random.randrange(len(self.names)))

    def states(self) -> dict[str, State]:
        """Every picture on the disk."""
        found = {str(path): path.stat() for path in self.photos.rglob("*.jpg") if not path.name.startswith(".")}
        return {path: (each.st_size, each.st_mtime_ns) for path, each in found.items()}


def _picture(seed: int, number: int, scratch: Path) -> bytes:
    pixels = np.random.default_rng([seed, number]).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((SIDE, SIDE)).save(scratch, quality=85)
    return scratch.read_bytes()


class Catalog:
    """What the catalog says, read anew when it has changed."""

    def __init__(self, gallery: Path) -> None:
        self._gallery = Gallery(gallery)
        self._version: object = None
        self.states: dict[str, State] = {}

    def look(self) -> bool:
        """True if there is something new."""
        try:
            with self._gallery.reader() as reader:
                if reader.change() == self._version:
                    return False
                version = reader.change()
                records = reader.records(reader.select(Filter()).tolist())
        except RetrievalError:  # not made yet
            return False
        self._version = version
        self.states = {record.path: (record.size, record.mtime_ns) for record in records}
        return True


def settle(disk: Disk, catalog: Catalog, latencies: list[float]) -> None:
    """Take out what the catalog knows by now."""
    catalog.look()
    now = time.monotonic()
    with disk.lock:
        for path, (state, since) in list(disk.pending.items()):
            if catalog.states.get(path) == state:
                del disk.pending[path]
                latencies.append(now - since)


def main() -> None:
    """Make events, and tell what came of them."""
    parser = argparse.ArgumentParser(description="photoseek watch under many events")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=40.0, help="events a second")
    parser.add_argument("--flood", type=int, default=0, metavar="FILES", help="half moved in at once, half written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="builtin-224")
    parser.add_argument("--nice", type=int, default=0, help="of the watcher, beside that of this program")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photoseek-watch-") as place:
        failed = _measure(Path(place), given)
    sys.exit(1 if failed else 0)


def _measure(place: Path, given: argparse.Namespace) -> bool:
    machine = machine_table()
    disk = Disk(place, given.seed)
    gallery = place / "gallery"
    # Only events count here: a look at everything now and then would hide what they lose.
    command = [
        sys.executable, str(ROOT / "cli.py"), "watch", str(disk.photos), "--gallery", str(gallery),
        "--model", given.model, "--nice", str(given.nice), "--look-every", "0",
    ]  # fmt: skip
    disk.create()
    log = (place / "log").open("wb")
    watcher = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    catalog, latencies = Catalog(gallery), []
    # Reading the whole catalog again takes a second for 100,000 pictures, from cores that the watcher needs.
    look_s, patience_s = (5.0, PATIENCE_S + given.flood / 50) if given.flood else (LOOK_S, PATIENCE_S)
    try:
        _wait(disk, catalog, [], PATIENCE_S, LOOK_S)
        tell("the first picture is there; events begin")
        before = _peak(watcher.pid)
        work, values = (disk.flood, (given.flood,)) if given.flood else (_make, (disk, given.events, given.rate))
        maker = threading.Thread(target=work, args=values, daemon=True)
        started = time.monotonic()
        maker.start()
        told = started
        while maker.is_alive():
            settle(disk, catalog, latencies)
            time.sleep(look_s)
            if time.monotonic() - told > 20:
                told = time.monotonic()
                tell(f"{sum(disk.done.values()):,} events, {len(disk.pending)} waited for")
        made_in = time.monotonic() - started
        _wait(disk, catalog, latencies, patience_s, look_s)
        peak = _peak(watcher.pid)
        after = time.monotonic() - started - made_in
    finally:
        watcher.send_signal(signal.SIGTERM)
        try:
            code = watcher.wait(60)
        except subprocess.TimeoutExpired:
            watcher.kill()
            code = watcher.wait()
        log.close()
    catalog.look()
    expected = disk.states()
    wrong = {path for path in expected.keys() | catalog.states.keys() if expected.get(path) != catalog.states.get(path)}
    for path in sorted(wrong)[:10]:
        tell(f"lost: {path}: on disk {expected.get(path)}, in the catalog {catalog.states.get(path)}")
    if code or wrong:
        tell((place / "log").read_text(errors="replace")[-3000:])
    latencies.sort()
    rows = [
        ("events", f"{sum(disk.done.values()):,} in {made_in:.0f} s, seed {given.seed}"),
        ("of them", ", ".join(f"{count:,} {name}" for name, count in disk.done.most_common())),
        ("pictures at the end", f"{len(expected):,}"),
        ("lost", f"{len(wrong):,}"),
        ("latency, median", f"{percentile(latencies, 0.5):.2f} s"),
        ("latency, p99", f"{percentile(latencies, 0.99):.2f} s"),
        ("latency, slowest", f"{latencies[-1]:.2f} s of {len(latencies):,}"),
        ("changed again before they were seen", f"{disk.superseded:,}"),
        ("the last one after the last event", f"{after:.2f} s"),
        ("peak of memory of the watcher", f"{peak:,.0f} MB, {before:,.0f} before the first event"),
        ("load after", f"{os.getloadavg()[0]:.2f}"),
    ]
    shutil.rmtree(disk.photos)
    print(f"{machine.to_markdown()}\n{Table('Watching', ('what', 'value'), rows, is_text=True).to_markdown()}")
    return bool(wrong or code)


def _make(disk: Disk, events: int, rate: float) -> None:
    begin = time.monotonic()
    for number in range(events):
        ahead = begin + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        disk.event()


def _peak(process: int) -> float:
    """The largest size in memory of a process so far, in MB; NaN where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM:")), float("nan"))


def _wait(disk: Disk, catalog: Catalog, latencies: list[float], patience_s: float, look_s: float) -> None:
    end = time.monotonic() + patience_s
    while disk.pending and time.monotonic() < end:
        settle(disk, catalog, latencies)
        time.sleep(look_s)


if __name__ == "__main__":
    main()
