"""Reading a gallery: once for each content, likely ones first, resumable, and no picture stops it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("cv2", reason="needs photoseek[ocr]")
pytest.importorskip("rapidocr", reason="needs photoseek[ocr]")

from retrieval.catalog.texts import PictureText, unread, write_texts
from retrieval.contents import run as contents_run
from retrieval.encoders.registry import load_encoder
from retrieval.errors import GalleryLocked
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.reading import readers
from retrieval.reading.models import PACKAGED
from retrieval.reading.priority import likely_first
from retrieval.reading.run import read_texts
from retrieval.watching.following import Follower
from tests.retrieval.reading.test_pages import page

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``p`` with three pages, a plain picture and a copy, and its gallery ``g``."""
    home = tmp_path_factory.mktemp("words")
    (home / "p").mkdir()
    for n in range(3):
        page((f"Invoice {2020 + n}", "Total due")).save(home / "p" / f"page{n}.png")
    shutil.copy(home / "p" / "page0.png", home / "p" / "copy.png")
    Image.new("RGB", (300, 200), (90, 120, 200)).save(home / "p" / "blue.jpg")
    Indexer(Gallery(home / "g"), load_encoder("builtin-224"), workers=1).run(home / "p")
    return home


@pytest.fixture
def home(indexed: Path, tmp_path: Path) -> Path:
    """A copy of the gallery; the pictures stay where they are known."""
    shutil.copytree(indexed / "g", tmp_path / "g")
    return tmp_path


def found(gallery: Gallery, words: str) -> set[str]:
    with gallery.reader() as reader:
        return {Path(r.path).name for r in reader.records([image for image, _ in reader.images_with_text(words)])}


def reasons(gallery: Gallery) -> list[str]:
    with gallery.reader() as reader:
        return [why for (why,) in reader.rows("SELECT reason FROM picture_texts WHERE reason IS NOT NULL")]


def test_a_gallery_is_read_once(home: Path) -> None:
    gallery, told = Gallery(home / "g"), []
    report = read_texts(gallery, workers=1, on_progress=lambda *seen: told.append(seen))
    counts = (report.read, report.with_text, report.failed, report.gone, report.left)
    assert counts == (4, 3, 0, 0, 0), reasons(gallery)
    assert told[-1] == (4, 4)
    assert found(gallery, '"invoice 2020"') == {"page0.png", "copy.png"}
    assert found(gallery, "invoice total") == {"page0.png", "copy.png", "page1.png", "page2.png"}
    again = read_texts(gallery, workers=1)
    assert (again.read, again.left) == (0, 0)


def test_a_watcher_reads_what_a_gallery_wants_read(home: Path) -> None:
    gallery = Gallery(home / "g")
    follower = Follower(gallery, None)
    follower.read_text(lambda: False)
    assert found(gallery, "invoice") == set()
    with gallery.writer() as catalog:
        catalog.set_reads_text(True)
    Follower(gallery, None, reads_text=False).read_text(lambda: False)  # by a setting
    follower.read_text(lambda: True)  # something happens at once
    follower.read_text(lambda: False)
    assert found(gallery, "invoice total") == {"page0.png", "copy.png", "page1.png", "page2.png"}


def test_likely_ones_come_first(home: Path) -> None:
    encoder = load_encoder("builtin-224")
    with Gallery(home / "g").reader() as reader:
        waiting = unread(reader, PACKAGED.version)
        assert {Path(each.path).suffix for each in likely_first(reader, waiting, encoder)[:3]} == {".png"}
        assert len(likely_first(reader, waiting, None)) == 4


def test_it_stops_at_once_and_goes_on_where_it_was(home: Path) -> None:
    gallery, seen = Gallery(home / "g"), []
    first = read_texts(gallery, workers=1, on_progress=lambda *_: seen.append(1), stop=lambda: len(seen) >= 2)
    assert 2 <= first.read < 4 and first.left >= 1, reasons(gallery)
    second = read_texts(gallery, workers=1)
    assert first.read + second.read == 4 and second.left == 0


def test_a_picture_that_takes_too_long_or_crashes_is_a_failure_and_the_others_are_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery(home / "g")
    asked = readers.Reader._asked

    def crashes(self: readers.Reader, request: bytes) -> object:
        if b'"width": 300' in request:  # the blue one
            process = self._running()
            assert process is not None
            process.send_signal(signal.SIGXCPU)
            process.wait()
        return asked(self, request)

    monkeypatch.setattr(readers.Reader, "_asked", crashes)
    monkeypatch.setattr(readers.Reader, "_running", once(readers.Reader._running))
    report = read_texts(gallery, workers=1)
    assert ((report.read, report.failed), reasons(gallery)) == ((3, 1), ["it took more than 60 s to read"])
    monkeypatch.undo()
    assert read_texts(gallery, workers=1).read == 0
    assert read_texts(gallery, workers=1, retry_failures=True).read == 1


def once(running: object) -> object:
    """Of a process that has ended nothing is known yet when it is asked: it ended while it was at work."""

    def found(self: readers.Reader) -> object:
        if self._process is not None and self._process.returncode is not None:
            process, self._process = self._process, None
            return process
        return running(self)  # type: ignore[operator]

    return found


def test_files_that_changed_or_went_are_counted_and_not_written(indexed: Path, tmp_path: Path) -> None:
    shutil.copytree(indexed / "p", tmp_path / "p")
    gallery = Gallery(tmp_path / "g")
    Indexer(gallery, load_encoder("builtin-224"), workers=1).run(tmp_path / "p")
    (tmp_path / "p" / "page1.png").unlink()
    page(("Other",)).save(tmp_path / "p" / "page2.png")
    report = read_texts(gallery, workers=1)
    assert (report.read, report.gone, report.left) == (2, 2, 2), reasons(gallery)


def test_who_writes_meanwhile_is_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, pending = Gallery(home / "g"), [(b"x" * 32, PictureText(PACKAGED.version, "2024-01-01"))]
    monkeypatch.setattr(contents_run, "_WAIT_SECONDS", 0.3)
    run = contents_run.Run(gallery, readers.Reader, write_texts, stop=lambda: False)
    run._pending = pending
    with Gallery(home / "g").writer():
        run.write()
        assert pending
        with pytest.raises(GalleryLocked):
            run.write_last()
    run.write()
    assert not pending


def photoseek(home: Path, *arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(home / "g"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "cli.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


def test_the_command_reads_remembers_and_reports(home: Path, indexed: Path) -> None:
    first = photoseek(home, "index", str(indexed / "p"), "--ocr", "--json-progress")
    assert first.returncode == 0, first.stderr
    *_, last = map(json.loads, first.stdout.splitlines())
    assert last["report"]["text"] | {"seconds": 0} == {
        "read": 4, "with_text": 3, "failed": 0, "gone": 0, "left": 0, "seconds": 0,
    }  # fmt: skip
    page(("Receipt 77",)).save(home / "new.png")
    second = photoseek(home, "index", str(home / "new.png").removesuffix("/new.png"))
    assert "read for words" in second.stderr, second.stderr
    assert " s of it for words" in second.stderr
    hits = photoseek(home, "search", "--text", '"receipt 77"', "--paths")
    assert hits.stdout.splitlines() == [str(home / "new.png")]
    assert "have text" in photoseek(home, "info").stdout
    facts = json.loads(photoseek(home, "info", "--json").stdout)
    assert facts["text"]["wanted"] and facts["text"]["unread"] == 0
    page(("Ticket 78",)).save(home / "newer.png")
    assert "read for words" not in photoseek(home, "index", "--no-ocr").stderr
    assert photoseek(home, "config", "set", "--in-gallery", "index.ocr", "true").returncode == 0
    assert ["index.ocr", "true"] in [line.split()[:2] for line in photoseek(home, "config").stdout.splitlines()]
    assert "read for words" not in photoseek(home, "index", "--no-ocr").stderr  # a flag decides before a setting
    assert "read for words           1" in photoseek(home, "index").stderr
    assert photoseek(home, "config", "set", "--in-gallery", "index.ocr", "false").returncode == 0
    page(("Ticket 79",)).save(home / "newest.png")
    assert "read for words" not in photoseek(home, "index").stderr
    assert not json.loads(photoseek(home, "info", "--json").stdout)["text"]["wanted"]


def test_a_killed_run_goes_on_and_leaves_no_process(home: Path, indexed: Path) -> None:
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(home / "g"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "cli.py"), "index", str(indexed / "p"), "--ocr", "--json-progress"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("stage") == "text":
                process.kill()
                break
    with closing(sqlite3.connect(home / "g" / "catalog.sqlite")) as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    deadline = time.monotonic() + 60
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not children_of(process.pid)
    assert read_texts(Gallery(home / "g"), workers=1).left == 0


def children_of(pid: int) -> list[str]:
    """Commands of reading processes that ``pid`` started, whoever their parent is by now: they are session leaders."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if "retrieval.reading.readers" in command and f"PHOTOSEEK_CHILD_OF={pid}".encode() in environment:
            found.append(command)
    return found


def test_processes_that_end_after_an_answer_are_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = readers.Reader.__init__

    def limited(self: readers.Reader) -> None:
        begin(self)
        self._code = self._code.removesuffix("main()") + "from retrieval.contents import child; "
        self._code += "child.RECYCLED_ABOVE = 0; main()"

    monkeypatch.setattr(readers.Reader, "__init__", limited)
    gallery = Gallery(home / "g")
    report = read_texts(gallery, workers=1)
    assert (report.read, report.failed, report.left) == (4, 0, 0), reasons(gallery)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process inherits what its parent took")
def test_a_process_is_not_replaced_for_what_its_parent_takes(indexed: Path) -> None:
    program = """
import sys
from retrieval.pictures.images import content_hash
from retrieval.reading.readers import Reader
ballast = b"x" * (1500 << 20)
data = open(sys.argv[1], "rb").read()
reader = Reader()
found = []
for _ in range(2):
    text = reader.read(sys.argv[1], content_hash(data), 300, 200)
    found.append((text.reason, reader._process and reader._process.pid))
reader.end()
print(found[0] == found[1], found[0][0])
"""
    command = [sys.executable, "-c", program, str(indexed / "p" / "blue.jpg")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout == "True None\n"
