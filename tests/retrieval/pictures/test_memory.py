"""The memory of all pictures being decoded at the same time is limited, whatever their headers claim."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.free_memory import NO_MEMORY, free_bytes
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.pictures import memory
from retrieval.pictures.images import read_cut_out, read_picture, read_whole
from retrieval.pictures.memory import Budget, needed
from tests.fakes import ColourEncoder

SIDE = 2600
MIB = 1 << 20


def encoded(mode: str, kind: str, *, turned: bool = False, **options: object) -> bytes:
    exif = Image.Exif()
    if turned:
        exif[0x112] = 6
        options["exif"] = exif
    picture = Image.new("RGB", (SIDE, SIDE - 9), (90, 120, 30)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 200)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded("RGB", "JPEG"),
    "jpeg-progressive-turned": lambda: encoded("RGB", "JPEG", turned=True, progressive=True, subsampling=0),
    "jpeg-cmyk": lambda: encoded("CMYK", "JPEG"),
    "png": lambda: encoded("RGB", "PNG"),
    "png-alpha-turned": lambda: encoded("RGBA", "PNG", turned=True),
    "png-palette": lambda: encoded("P", "PNG"),
    "png-grey": lambda: encoded("L", "PNG"),
    "png-bits": lambda: encoded("1", "PNG"),
    "png-16": lambda: encoded("I;16", "PNG"),
    "webp": lambda: encoded("RGB", "WEBP"),
    "webp-alpha-turned": lambda: encoded("RGBA", "WEBP", turned=True),
    "gif": lambda: encoded("P", "GIF"),
    "bmp": lambda: encoded("RGB", "BMP"),
    "tiff-16": lambda: encoded("I;16", "TIFF"),
    "jpeg2000": lambda: encoded("RGB", "JPEG2000"),
    "avif": lambda: encoded("RGBA", "AVIF", speed=10),
}

_MEASURE = """
import sys
from contextlib import contextmanager
from pathlib import Path
from retrieval.encoders.base import Preprocessing
from retrieval.pictures.decoding import MAX_PIXELS, picture_in
from retrieval.pictures.memory import Budget

class Asked(Budget):
    count = 0
    @contextmanager
    def taken(self, count):
        self.count += count
        yield

def bytes_of(name):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(name))

preprocessing = Preprocessing(224)
picture_in(Path(sys.argv[1]).read_bytes(), preprocessing, MAX_PIXELS, Budget())  # what is loaded once is there
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    asked = Asked(1)
    Path("/proc/self/clear_refs").write_text("5")
    before = bytes_of("VmRSS")
    picture_in(data, preprocessing, MAX_PIXELS, asked)
    print(Path(path).name, bytes_of("VmHWM") - before, asked.count)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of a process is not told here")
def test_no_picture_takes_more_than_it_asks_for(tmp_path: Path) -> None:
    paths = []
    for name, make in KINDS.items():
        (tmp_path / name).write_bytes(make())
        paths.append(str(tmp_path / name))
    done = subprocess.run([sys.executable, "-c", _MEASURE, *paths], capture_output=True, text=True, check=True)
    found = {name: (int(grown), int(asked)) for name, grown, asked in map(str.split, done.stdout.splitlines())}
    assert found.keys() == KINDS.keys()
    noise = 6 * MIB  # tables and the file's pieces
    assert {name: pair for name, pair in found.items() if pair[0] > pair[1] + noise} == {}
    assert found["jpeg"][1] < SIDE * SIDE < found["webp"][1] // 10, "a JPEG is decoded at a fraction"


def test_large_pictures_wait_for_each_other_and_small_ones_do_not() -> None:
    budget = Budget(100 * MIB)
    inside, most, order = 0, 0, []
    first_is_in, others_wait = threading.Event(), threading.Event()

    def large(number: int) -> None:
        nonlocal inside, most
        with budget.taken(60 * MIB):
            inside += 1
            most = max(most, inside)
            order.append(number)
            first_is_in.set()
            others_wait.wait()
            inside -= 1

    threads = [threading.Thread(target=large, args=(number,)) for number in range(4)]
    threads[0].start()
    first_is_in.wait()
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(budget._waiting) < number:
            pass
    with budget.taken(MIB):
        assert order == [0], "a small one passes"
    others_wait.set()
    for thread in threads:
        thread.join()
    assert (most, order, budget._taken, len(budget._waiting)) == (1, [0, 1, 2, 3], 0, 0)
    with budget.taken(40 * MIB), budget.taken(60 * MIB):
        assert budget._taken == 100 * MIB


def test_what_it_held_is_given_back_after_an_error() -> None:
    budget = Budget(100 * MIB)
    with pytest.raises(OSError, match="broken"), budget.taken(60 * MIB):
        raise OSError("broken")
    with pytest.raises(UnreadableImage, match=NO_MEMORY), budget.taken(101 * MIB):
        pass
    assert budget._taken == 0


def test_a_picture_beyond_the_limit_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "large.webp").write_bytes(KINDS["webp"]())
    Image.new("RGB", (60, 40), "red").save(photos / "small.png")
    gallery = Gallery(tmp_path / "gallery")
    monkeypatch.setattr(memory, "shared", Budget(40 * MIB))
    report = Indexer(gallery, ColourEncoder()).run(photos)
    assert (report.encoded, report.failures_known) == (1, 1)
    with gallery.reader() as reader:
        (failure,) = reader.failures()
        assert failure.is_passing and failure.reason.startswith(f"{NO_MEMORY}: decoding takes up to 0.1 GiB")
    monkeypatch.setattr(memory, "shared", Budget(200 * MIB))
    report = Indexer(gallery, ColourEncoder()).run(photos)
    assert (report.encoded, report.failures_known) == (1, 0)


def test_for_eyes_the_limit_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "shared", Budget(40 * MIB))
    for name in ("webp", "jpeg2000", "tiff-16"):
        data = KINDS[name]()
        with pytest.raises(UnreadableImage, match=NO_MEMORY):
            read_whole(data, 200)
        with pytest.raises(UnreadableImage, match=NO_MEMORY):
            read_cut_out(data)
    preprocessing = Preprocessing(224)
    assert read_picture(KINDS["jpeg"](), preprocessing).width == SIDE, "at a fraction there is room for it"


def test_the_limit_follows_the_machine_and_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_bytes()
    if free is None:
        pytest.skip("this system does not say how much memory is free")
    budget, told = Budget(), [4 << 30, 1 << 30]
    monkeypatch.setattr(memory, "free_bytes", lambda: told[0])
    with budget.taken(3 << 30):
        told.pop(0)
        with budget.taken(100 * MIB):  # as it was when the first one came
            pass
    with pytest.raises(UnreadableImage, match=NO_MEMORY), budget.taken(3 << 30):
        pass
    told[0] = 4 << 30
    with budget.taken(3 << 30):
        pass
    told[0] = 0
    with budget.taken(200 * MIB):  # a photo of 12 megapixels passes on any machine
        pass
    code = """
import resource
from retrieval.free_memory import free_bytes
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
print(free_bytes())
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(told) < 3 << 30


def test_needs_grow_with_what_has_to_be_copied() -> None:
    plain = needed("PNG", 4000, 4000, "RGB")
    assert plain < needed("PNG", 4000, 4000, "RGB", b"..eXIf..") < needed("PNG", 4000, 4000, "RGBA", b"..eXIf..")
    assert needed("HEIF", 4000, 4000, "RGB", b"Exif") == needed("HEIF", 4000, 4000, "RGB"), "turned by its decoder"
    assert needed("JPEG", 4000, 4000, "RGB", scale=8) < plain // 50
    assert needed("JPEG", 4000, 4000, "RGB", scale=8, is_buffered=True) > 6 * 4000 * 4000
