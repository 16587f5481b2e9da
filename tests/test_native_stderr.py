"""Output of C libraries to stderr while a picture is read is counted, not shown, and none of ours is lost."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.paths import CLI
from tests.pictures import save_picture


def talkative_tiff(path: Path, compression: str = "group4") -> Path:
    """A fax with damage in the middle, about which libtiff writes line after line."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).convert("1").save(out, "TIFF", compression=compression)
    data = bytearray(out.getvalue())
    for at in range(len(data) // 4, len(data) // 4 + 400):
        data[at] = (data[at] * 7 + 13) % 256
    path.write_bytes(data)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    save_picture(folder / "red.jpg", "red")
    talkative_tiff(folder / "fax.tif")
    talkative_tiff(folder / "fax3.tif", "tiff_ccitt")
    return folder


def run(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PHOTOSEEK_GALLERY": str(tmp_path / "gallery")}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_libtiff_does_talk(photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from retrieval.pictures.images import read_whole\n"
        "read_whole(pathlib.Path(sys.argv[1]).read_bytes(), 64)"
    )
    assert "Fax4Decode" in run(tmp_path, "-c", code, photos / "fax.tif").stderr


def test_no_command_shows_it(photos: Path, tmp_path: Path) -> None:
    indexed = run(tmp_path, CLI, "index", photos, "--thumbnails")
    assert "thumbnails: 3 made" in indexed.stderr
    told = [line for line in indexed.stderr.splitlines() if "Decode" in line]
    assert len(told) == 1
    assert told[0].startswith("decoder messages")
    assert "lines about damaged pictures; the first: Fax" in told[0]
    query = talkative_tiff(tmp_path / "query.tif")
    similar = run(tmp_path, CLI, "similar", query, "--paths")
    assert "Decode" not in similar.stderr
    assert str(photos / "fax.tif") in similar.stdout


TELLING = """
import logging, pathlib, sys, threading, warnings
from retrieval.streams import own_streams
own_streams()
from retrieval.pictures.images import read_whole
from retrieval.pictures.quiet import native_messages
data = pathlib.Path(sys.argv[1]).read_bytes()
logging.basicConfig(format="%(message)s")
def decode():
    for _ in range(20):
        read_whole(data, 64)
threads = [threading.Thread(target=decode) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(300):
    print("printed", number, file=sys.stderr)
    logging.warning("logged %d", number)
for thread in threads:
    thread.join()
import os
print(native_messages().lines, native_messages().lines)
os.write(2, b"native, afterwards\\n")
"""


def test_what_python_writes_meanwhile_is_not_lost(photos: Path, tmp_path: Path) -> None:
    alone = run(tmp_path, "-c", TELLING.replace("range(4)", "range(1)"), photos / "fax.tif")
    done = run(tmp_path, "-c", TELLING, photos / "fax.tif")
    expected = [f"{word} {number}" for number in range(300) for word in ("printed", "logged")]
    assert done.stderr.splitlines() == [*expected, "native, afterwards"]
    lines, rest = map(int, alone.stdout.split())
    assert (lines > 0, rest) == (True, 0)
    assert done.stdout.split() == [str(4 * lines), "0"]  # none is counted twice or lost
