"""Everything at once for a while: does the gallery stay right, do memory and descriptors stay flat?

::

    python -m benchmarks.soak                              20 minutes
    python -m benchmarks.soak --seconds 15 --seed 7 --rate 20

Files come, change, move, go and are damaged, drawn with a seed, as in ``benchmarks.watch``; ``photoseek watch`` follows
them, ``photoseek serve`` answers searches, pictures and thumbnails from two threads, a third one changes labels, and a
fourth searches with an engine of its own. Each hit must name a picture of these folders with a possible score. Then the
processes are told to end, ``photoseek index`` looks at everything once more, the catalog is compared with the disk, and
``photoseek verify`` has the last word. Memory and open descriptors of watcher and server are noted each second; what
counts is the last quarter of the time beside the second one.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import machine_table
from benchmarks.measure import tell
from benchmarks.settings import ROOT
from benchmarks.tables import Table
from benchmarks.watch import Catalog, Disk
from retrieval.errors import RetrievalError
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query

QUESTIONS = ("a red picture", "blue and green", "a dog", "noise", "something yellow")
MOST_MORE_MB, MOST_MORE_FILES = 60.0, 8
"""Growth from the second to the last quarter that is still called flat."""

FLAT_AFTER_S = 240.0
"""Before that, models are being loaded and caches filled."""


class World(Disk):
    """As for the watcher, and files are damaged, too."""

    def event(self) -> None:
        """One event."""
        if len(self.names) > 20 and self.random.random() < 0.12:
            self.done["damage"] += 1
            self.damage()
        else:
            super().event()

    def damage(self) -> None:
        path = self.random.choice(self.names)
        data = bytearray(path.read_bytes())
        kind = self.random.randrange(4)
        if kind == 0:
            del data[self.random.randrange(len(data)) :]
        elif kind == 1:
            for _ in range(8):
                data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        elif kind == 2:
            data[:] = self.random.randbytes(len(data))
        else:
            data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        path.write_bytes(data)


class Samples:
    """Memory in MB and descriptors of processes, each second.

    Args:
        processes: name -> id.
    """

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self.memory: dict[str, list[float]] = {name: [] for name in processes}
        self.files: dict[str, list[int]] = {name: [] for name in processes}

    def take(self) -> None:
        """One more of each."""
        for name, process in self._processes.items():
            try:
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                files = len(list(Path(f"/proc/{process}/fd").iterdir()))
            except OSError:  # it has ended, which the caller notices
                continue
            self.memory[name].append(
                next((int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon:")), 0.0)
            )
            self.files[name].append(files)

    def grown(self, name: str) -> tuple[float, int]:
        """By how many MB and descriptors, from the second to the last quarter: medians."""
        memory, files = self.memory[name], self.files[name]
        return _rise(memory), round(_rise(files))

    def row(self, name: str) -> str:
        """The figures of a process, for people."""
        memory, files = self.memory[name], self.files[name]
        more_memory, more_files = self.grown(name)
        return (
            f"{median(memory):,.0f} MB (at most {max(memory):,.0f}, {more_memory:+,.1f} in the second half), "
            f"{median(files):,.0f} descriptors (at most {max(files)}, {more_files:+})"
        )


def _rise(values: Sequence[float]) -> float:
    quarter = max(1, len(values) // 4)
    return float(median(values[-quarter:]) - median(values[quarter : 2 * quarter] or values))


class Asking:
    """Threads that ask until they are stopped; what was wrong is kept as text."""

    def __init__(self, url: str, gallery: Path, photos: Path, seed: int) -> None:
        self._url, self._gallery, self._photos = url, gallery, str(photos)
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._is_over = threading.Event()
        works: list[Callable[[random.Random], None]] = [self._ask, self._ask, self._label, self._search]
        self._threads = [
            threading.Thread(target=self._repeat, args=(work, random.Random(seed + n))) for n, work in enumerate(works)
        ]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, work: Callable[[random.Random], None], rng: random.Random) -> None:
        while not self._is_over.is_set():
            try:
                work(rng)
            except Exception as error:
                self.wrong.append(f"{work.__name__}: {type(error).__name__}: {error}")
            self._is_over.wait(0.05)

    def _got(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Requested-With": "soak"}
        request = urllib.request.Request(self._url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _ask(self, rng: random.Random) -> None:
        code, data = self._got("/api/v1/search", {"q": [rng.choice(QUESTIONS)], "k": 20})
        self.done[f"searches {code}"] += 1
        if code != 200:
            self.wrong.append(f"search: {code} {data[:200]!r}")
            return
        hits = json.loads(data)["hits"]
        for hit in hits:
            self._check(hit["path"], hit["score"])
        if hits:
            number = rng.choice(hits)["id"]
            for what in ("thumbnail", "file"):
                code, _ = self._got(f"/api/v1/images/{number}/{what}")
                self.done[f"{what}s {code}"] += 1
                if code not in (200, 404, 409, 410, 415, 422):  # it may be gone or damaged by now
                    self.wrong.append(f"{what}: {code}")

    def _label(self, rng: random.Random) -> None:
        number = rng.randrange(1, 60)
        body = {"ids": [number], "tags": [f"tag {rng.randrange(9)}"]}
        code, data = self._got("/api/v1/labels", body)
        self.done[f"labels {code}"] += 1
        if code >= 500 and code != 503:
            self.wrong.append(f"label: {code} {data[:200]!r}")
        self._is_over.wait(0.5)

    def _search(self, rng: random.Random) -> None:
        with QueryEngine(Gallery(self._gallery)) as engine:
            for _ in range(20):
                if self._is_over.wait(0.1):
                    return
                try:
                    hits = engine.search(Query.text(rng.choice(QUESTIONS), k=20))
                except RetrievalError as error:
                    self.wrong.append(f"engine: {error.message}")
                    continue
                self.done["searches of an engine"] += 1
                for hit in hits:
                    self._check(hit.image.path, hit.score)

    def _check(self, path: str, score: float) -> None:
        if not path.startswith(self._photos) or not -1.001 <= score <= 1.001:
            self.wrong.append(f"a hit {path} with {score}")


def main() -> None:
    """Run it, print the figures; exit code 1 if anything was wrong, lost, damaged or grew."""
    parser = argparse.ArgumentParser(description="watcher, server and searches while files change")
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--rate", type=float, default=5.0, help="events a second")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photoseek-soak-") as place:
        faults = _soak(Path(place), given)
    for fault in faults:
        tell(fault)
    sys.exit(1 if faults else 0)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "cli.py"), *arguments]


def _ended(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _soak(place: Path, given: argparse.Namespace) -> list[str]:
    machine, disk, gallery = machine_table(), World(place, given.seed), place / "gallery"
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "PHOTOSEEK_GALLERY": str(gallery), "XDG_RUNTIME_DIR": str(runtime),
        "PHOTOSEEK_CONFIG": str(place / "none"),
    }  # fmt: skip
    os.environ["PHOTOSEEK_CONFIG"] = str(place / "none")
    logging.getLogger("photoseek").setLevel(logging.ERROR)  # each skipped picture would be a line
    for _ in range(40):
        disk.create()
    subprocess.run(_command("index", str(disk.photos), "--quiet"), env=environment, check=True)
    faults: list[str] = []
    with ExitStack() as stack:
        log = stack.enter_context((place / "log").open("wb"))
        server = subprocess.Popen(
            _command("serve", "--port", "0"), env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert server.stderr is not None
        line = server.stderr.readline().decode()
        url = next(word for word in line.split() if word.startswith("http://"))
        rest: list[bytes] = []
        reading = threading.Thread(target=lambda: rest.extend(server.stderr or ()), daemon=True)
        reading.start()
        watcher = subprocess.Popen(
            _command("watch", str(disk.photos), "--nice", "0", "--look-every", "1"),
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        samples, begin = Samples({"watcher": watcher.pid, "server": server.pid}), time.monotonic()
        with Asking(url, gallery, disk.photos, given.seed) as asking:
            next_sample = next_told = begin
            while (now := time.monotonic()) < begin + given.seconds:
                disk.event()
                if now >= next_sample:
                    next_sample = now + 1
                    samples.take()
                if now >= next_told:
                    next_told = now + 60
                    tell(f"{now - begin:,.0f} s, {sum(disk.done.values()):,} events, {dict(asking.done)}")
                if watcher.poll() is not None or server.poll() is not None:
                    faults.append("the watcher or the server has ended by itself")
                    break
                time.sleep(max(0.0, 1 / given.rate - (time.monotonic() - now)))
            samples.take()
        faults += [f"{name} ended with {code}" for name, code in
                   (("watcher", _ended(watcher)), ("server", _ended(server))) if code]  # fmt: skip
        reading.join(10)
        faults += [f"a traceback in what was said: {text[-500:]!r}" for text in
                   (b"".join(rest), (place / "log").read_bytes()) if b"Traceback" in text]  # fmt: skip
    index = subprocess.run(_command("index", "--quiet"), env=environment, capture_output=True, text=True)
    verified = subprocess.run(_command("verify"), env=environment, capture_output=True, text=True)
    if index.returncode or verified.returncode:
        faults.append(f"index {index.returncode}, verify {verified.returncode}: {verified.stdout}{verified.stderr}")
    lost = _differences(disk, gallery)
    faults += [f"wrong: {each}" for each in asking.wrong[:10]] + [f"lost: {each}" for each in lost[:10]]
    for name in ("watcher", "server"):
        memory, files = samples.grown(name)
        if given.seconds >= FLAT_AFTER_S and (memory > MOST_MORE_MB or files > MOST_MORE_FILES):
            faults.append(f"the {name} has grown: {samples.row(name)}")
    rows = [
        ("time", f"{time.monotonic() - begin:,.0f} s, seed {given.seed}"),
        ("events", f"{sum(disk.done.values()):,}: "
         + ", ".join(f"{count:,} {name}" for name, count in disk.done.most_common())),
        ("asked", ", ".join(f"{count:,} {what}" for what, count in sorted(asking.done.items()))),
        ("wrong answers", f"{len(asking.wrong):,}"),
        ("lost or wrong in the catalog", f"{len(lost):,}"),
        ("pictures at the end", f"{len(disk.states()):,}"),
        ("verify", f"exit code {verified.returncode}"),
        ("watcher", samples.row("watcher")),
        ("server", samples.row("server")),
    ]  # fmt: skip
    print(f"{machine.to_markdown()}\n{Table('Soak', ('what', 'value'), rows, is_text=True).to_markdown()}")
    return faults


def _differences(disk: World, gallery: Path) -> list[str]:
    """Files whose state on disk is neither in the catalog nor recorded as unreadable there, and the other way round."""
    catalog, expected = Catalog(gallery), disk.states()
    catalog.look()
    with Gallery(gallery).reader() as reader:
        failed = {failure.path for failure in reader.failures()}
    missing = [path for path, state in expected.items() if catalog.states.get(path) != state and path not in failed]
    return missing + [path for path in catalog.states if path not in expected]


if __name__ == "__main__":
    main()
