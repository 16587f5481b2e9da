"""Decoder processes: one that crashes, hangs or asks for too much memory costs its file, and nothing else."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from retrieval.errors import UnreadableImage
from retrieval.pictures.decoders import Decoders
from retrieval.pictures.images import read_whole

pytest.importorskip("resvg_py")

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size}>{inside}</svg>'


def drawing(inside: str, size: str = 'width="100" height="50"') -> bytes:
    return _SVG.format(inside=inside, size=size).encode()


RED = drawing('<rect width="100" height="50" fill="#c81414"/>')
ENDLESS = drawing(
    '<filter id="f" x="0" y="0" width="1" height="1">'
    '<feTurbulence baseFrequency=".5" numOctaves="2000000000"/></filter>'
    '<rect width="100" height="50" filter="url(#f)"/>'
)


def drawn(decoders: Decoders, data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(decoders.decode("svg", data, "SVG", width=200).picture)).convert("RGB")


def children() -> set[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    return {int(line) for line in found.split()}


def test_what_takes_too_long_is_ended_and_the_next_file_is_read() -> None:
    others, decoders = children(), Decoders(seconds=1)
    assert drawn(decoders, RED).getpixel((100, 50)) == (200, 20, 20)
    before = children() - others
    with pytest.raises(UnreadableImage, match="more than 1 s"):
        drawn(decoders, ENDLESS)
    assert drawn(decoders, RED).getpixel((100, 50)) == (200, 20, 20)
    assert not before & children()
    decoders.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes")
def test_a_crash_is_its_files_error() -> None:
    decoders = Decoders()
    before = children()
    reasons = []

    def work() -> None:
        try:
            drawn(decoders, ENDLESS)
        except UnreadableImage as error:
            reasons.append(error.reason)

    thread = threading.Thread(target=work)
    thread.start()
    while not (new := [pid for pid in children() - before if "decoder_program" in _command(pid)]):
        pass
    os.kill(new[0], signal.SIGSEGV)
    thread.join()
    assert reasons == ["the SVG decoder crashed on it"]
    assert drawn(decoders, RED).size == (200, 100)
    decoders.close()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_process_that_has_just_gone_idle_costs_no_file() -> None:
    decoders = Decoders()
    assert drawn(decoders, RED).size == (200, 100)
    gone = decoders._idle[0]
    assert gone._process.stdin is not None
    gone._process.stdin.close()  # to the process it looks as if nobody would ask any more
    assert drawn(decoders, RED).size == (200, 100)
    assert decoders._idle[0] is not gone
    decoders.close()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows have no such limit")
def test_memory_is_bounded() -> None:
    decoders = Decoders()
    huge = drawing('<rect width="1" height="90000" fill="red"/>', 'width="1" height="90000"')
    with pytest.raises(UnreadableImage):
        decoders.decode("svg", huge, "SVG", width=20_000)  # 140 GB of pixels
    assert drawn(decoders, RED).size == (200, 100)
    decoders.close()


def test_many_threads_share_as_many_processes_as_there_are_cores() -> None:
    decoders = Decoders()
    threads = [threading.Thread(target=drawn, args=(decoders, RED)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(decoders._idle) <= (os.cpu_count() or 1)
    decoders.close()
    assert decoders._idle == []


def test_a_drawing_reads_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8), (0, 0, 255)).save(tmp_path / "secret.png")
    monkeypatch.chdir(tmp_path)
    decoders = Decoders()
    for name in ("secret.png", str(tmp_path / "secret.png"), (tmp_path / "secret.png").as_uri()):
        for attribute in ("href", "xlink:href"):
            data = drawing(
                f'<rect width="100" height="50" fill="white"/><image {attribute}="{name}" width="100" height="50"/>'
            )
            assert drawn(decoders, data).getcolors() == [(20_000, (255, 255, 255))]
    decoders.close()
    bomb = b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + drawing("<text>&x;</text>")
    with pytest.raises(UnreadableImage, match="damaged SVG"):
        read_whole(bomb, 100)


def test_a_drawing_is_a_picture_of_its_own_proportions_on_white() -> None:
    seen = read_whole(drawing('<circle cx="50" cy="25" r="20" fill="#0000ff"/>'), 512)
    assert seen.size == (512, 256)
    assert seen.getpixel((256, 128)) == (0, 0, 255)
    assert seen.getpixel((5, 5)) == (255, 255, 255)
