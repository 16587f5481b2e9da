"""Files named by users: pipes do not block, devices are not read, and no error reveals the content of a file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from retrieval.regular_files import open_regular, read_regular
from tests.conftest import EXAMPLES
from tests.test_cli import Run, run

__all__ = ["run"]

OWL = str(EXAMPLES / "birds" / "owl.jpg")
PLACES = [
    ["similar", "FILE"],
    ["search", "--image", "FILE"],
    ["search", "a dog", "--without-image", "FILE"],
    ["search", "a dog + img:FILE"],
    ["search", "--queries-from", "FILE"],
    ["classify", "FILE", "--labels", "cat,dog"],
    ["classify", OWL, "--labels", "FILE"],
    ["classify", OWL, "--labels", "cat,dog", "--templates", "FILE"],
    ["tag", "--labels", "FILE"],
    ["clusters", "--k", "2", "--labels", "FILE"],
    ["label", "FILE"],
    ["album", "create", "Summer", "FILE"],
    ["export", "FILE", "--format", "webp"],
    ["import", "FILE", str(EXAMPLES)],
    ["explain", "--image", "FILE"],
    ["eval", "retrieval", "FILE"],
    ["eval", "zeroshot", str(EXAMPLES), "--labels", "FILE"],
    ["eval", "zeroshot", str(EXAMPLES), "--templates", "FILE"],
    ["eval", "compare", "builtin-224", "builtin-224", "--data", "FILE"],
    ["train", "FILE", "--adapter"],
    ["models", "import", "FILE"],
    ["index", "FILE"],
    ["forget", "FILE"],
    ["watch", "FILE"],
]
SECRET = "hunter2"
CONTENTS = {
    "passwd": f"{SECRET}:x:0:0:{SECRET}\n",
    "json": '{"images": "' + SECRET + '", "' + SECRET + '": [' + SECRET + "]}",
    "tsv": f'"{SECRET}\n{SECRET} {SECRET}\n',
    "gif": f"GIF89a{SECRET * 9}",
}


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    made = tmp_path / "pipe.jpg"
    os.mkfifo(made)
    return made


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("place", PLACES, ids=" ".join)
def test_a_pipe_is_refused_at_once(run: Run, indexed_examples: Path, pipe: Path, place: list[str]) -> None:
    for file in (str(pipe), "/dev/zero"):
        code, out, err = run(*(part.replace("FILE", file) for part in place), gallery=indexed_examples)
        assert code in (2, 3) and out == "", err
        lines = err.rstrip().splitlines()
        assert lines[-2].startswith("photoseek: ") and "fault in the program" not in err, err


@pytest.mark.parametrize("place", [place for place in PLACES if place[1] != "--queries-from"], ids=" ".join)
@pytest.mark.parametrize("kind", CONTENTS)
def test_no_error_tells_what_is_in_a_file(
    run: Run, indexed_examples: Path, tmp_path: Path, place: list[str], kind: str
) -> None:
    if "--labels" in place[:-1] and place[place.index("--labels") + 1] == "FILE":
        pytest.skip("a list of labels may hold any words: nothing is wrong with it")
    file = tmp_path / f"file.{kind}"
    file.write_text(CONTENTS[kind], encoding="utf-8")
    code, _, err = run(*(part.replace("FILE", str(file)) for part in place), gallery=indexed_examples)
    assert code in (2, 3), err
    assert SECRET not in err and "fault in the program" not in err, err


def test_what_may_be_opened(tmp_path: Path, pipe: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_regular(file, 5) == read_regular(str(link), 5) == b"12345"
    assert read_regular("/proc/self/cmdline", 1 << 20) if Path("/proc/self/cmdline").exists() else True
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))
        for other in (pipe, tmp_path / "socket", Path("/dev/null")):
            with pytest.raises(OSError, match="not an ordinary file"):
                open_regular(other)
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(file, 4)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular("a\0b")
