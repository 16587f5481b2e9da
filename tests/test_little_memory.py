"""Commands that may use little memory: an answer, or two lines; never a hang, and no good file is bad afterwards.

``PHOTOSEEK_MEMORY_LIMITS`` (limits in each test, 4 by default) makes it longer.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import SystemProblem
from retrieval.free_memory import check_room
from retrieval.gallery import Gallery
from retrieval.system_errors import explained, is_of_memory
from tests.crashes import Commands, check_index, meaning
from tests.pictures import save_picture
from tests.retrieval.states import rows

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's here")

ROOT = Path(__file__).parents[1]
LIMITS = int(os.environ.get("PHOTOSEEK_MEMORY_LIMITS", "4"))
MIB = 1 << 20
SPANS = {"RLIMIT_AS": (300, 2000), "RLIMIT_DATA": (60, 700)}
"""From too little for Python's own start, to enough for everything."""


@pytest.fixture(scope="module")
def photos(place: Path) -> Path:
    """With one that is read in a process of its own."""
    for number in range(6):
        save_picture(place / "photos" / f"{number}.jpg", ("red", "green", "blue")[number % 3], seed=number)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><rect width="90" height="60"/></svg>'
    (place / "photos" / "drawing.svg").write_text(drawing)
    return place / "photos"


@pytest.fixture(scope="module")
def whole(commands: Commands, photos: Path, place: Path) -> Path:
    ended = commands.plain(place / "whole", "index", str(photos), "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    return place / "whole"


def _check(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode in (0, 1, 3), (ended.returncode, ended.stderr)
    assert "Traceback" not in ended.stderr and "a fault in the program" not in ended.stderr, ended.stderr
    if ended.returncode == 3:
        first, second = ended.stderr.splitlines()[-2:]
        assert "memory" in first and second.startswith(" " * len("photoseek: ")), ended.stderr


def _sizes(kind: str) -> list[int]:
    low, high = SPANS[kind]
    return [round(each) for each in np.geomspace(low, high, LIMITS)]


@pytest.mark.parametrize("kind", SPANS)
def test_an_index_with_little_memory_records_no_good_file_as_bad(
    kind: str, commands: Commands, photos: Path, whole: Path, place: Path
) -> None:
    codes: Counter[int] = Counter()
    for size in _sizes(kind):
        gallery = place / f"{kind}-{size}"
        ended = commands.plain(gallery, "index", str(photos), "--workers", "1", limits={kind: size * MIB})
        _check(ended)
        codes[ended.returncode] += 1
        if (gallery / "catalog.sqlite").exists():
            told = commands.plain(gallery, "info", "--json")
            assert told.returncode in (0, 3) and "Traceback" not in told.stderr, told.stderr
        again = commands.plain(gallery, "index", str(photos), "--workers", "1")
        assert again.returncode == 0, again.stderr
        assert meaning(gallery) == meaning(whole), (kind, size)
        check_index(gallery)
        assert not rows(Gallery(gallery), "SELECT reason FROM failures")
    print(f"{kind}: {dict(codes)}")
    assert codes[3] and codes[0]


@pytest.mark.parametrize("kind", SPANS)
def test_a_search_with_little_memory_is_right_or_two_lines(kind: str, commands: Commands, whole: Path) -> None:
    asked = ("search", "red", "--paths")
    right = commands.plain(whole, *asked)
    assert right.returncode == 0
    codes: Counter[int] = Counter()
    for size in _sizes(kind):
        ended = commands.plain(whole, *asked, limits={kind: size * MIB})
        _check(ended)
        assert ended.returncode == 3 or ended.stdout == right.stdout
        codes[ended.returncode] += 1
    assert codes[0]


def test_a_server_with_little_memory_says_so_or_serves(whole: Path) -> None:
    code = (
        "import resource, sys\n"
        "most = int(sys.argv.pop(1)) << 20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "sys.argv[0] = 'photoseek'\n"
        "import cli; cli.main()"
    )
    ends = Counter[str]()
    for most in _sizes("RLIMIT_AS"):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(most), "serve", "--port", "0", "--gallery", str(whole)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        said = ""
        while line := process.stderr.readline():
            said += line
            if "Ctrl-C stops it" in line:
                process.terminate()
        process.communicate()
        assert "Traceback" not in said and "a fault in the program" not in said, (most, said)
        has_served = "Ctrl-C" in said
        assert process.returncode in ((0, 3) if has_served else (3,)), (most, said)
        assert process.returncode == 0 or "memory" in said, (most, said)
        ends["served" if has_served else "said so"] += 1
    assert ends["served"]


_NO_THREADS = """
import resource, sys, threading, _thread
from retrieval import program, threads
threads.WITHIN_S = 0.1
program.begin()
with program.errors_in_two_lines("photoseek"):
    program.begin_work()
    begin = threading.Thread._bootstrap
    def without_memory(self): raise MemoryError
    threading.Thread._bootstrap = without_memory
    threading.excepthook = sys.unraisablehook = lambda told: None
    thread = threading.Thread(target=print)
    try:
        thread.start()
    finally:
        assert thread not in threading.enumerate() and not thread.is_alive()
        threading.Thread._bootstrap = begin
        after = threading.Thread(target=print, args=["another one runs"])
        after.start()
        after.join()
"""


def test_a_thread_that_cannot_begin_is_an_error() -> None:
    done = subprocess.run([sys.executable, "-c", _NO_THREADS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "another one runs\n"), done.stderr
    assert "not enough memory" in done.stderr and len(done.stderr.splitlines()) == 2


def test_room_is_checked_beforehand() -> None:
    check_room("a model", used=1, reserved=1)
    with pytest.raises(SystemProblem, match="a model takes 1,073,741,824 MiB"):
        check_room("a model", used=1 << 50, reserved=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, hard))
    try:
        with pytest.raises(SystemProblem, match="are free"):
            check_room("a model", used=1, reserved=1 << 41)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_libraries_without_memory_are_told_from_faults() -> None:
    for error in (
        MemoryError(),
        RuntimeError("Exception from core.cpp:117:\nstd::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
        ImportError("libx.so: cannot allocate memory in static TLS block"),
    ):  # fmt: skip
        assert is_of_memory(error) and isinstance(explained(error), SystemProblem)
    for other in (RuntimeError("shape mismatch"), ImportError("No module named 'x'"), ValueError("bad_alloc")):
        assert not is_of_memory(other)
