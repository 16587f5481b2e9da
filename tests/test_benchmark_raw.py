"""The benchmark of RAW files, on generated ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.raw_files import dng, jpeg, scene
from tests.test_benchmarks import table

pytest.importorskip("rawpy")

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.raw", *arguments]
    environment = os.environ | {"PATH": os.path.dirname(sys.executable)}  # without exiftool, which some machines have
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_kinds_are_counted_where_a_sample_is_whole(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "one.dng").write_bytes(dng(scene(), preview=jpeg(scene())))
    (tmp_path / "more" / "two.DNG").write_bytes(dng(scene(240, 160)))
    (tmp_path / "header.pef").write_bytes(dng(scene(600, 400))[:9000])
    (tmp_path / "other.raw").write_bytes(b"not a picture" * 99)
    (tmp_path / "notes.txt").write_text("no RAW")
    printed = run(str(tmp_path))
    assert printed.returncode == 0, printed.stderr
    kinds = {kind: row[:3] for kind, row in table(printed.stdout, "RAW by kind").items()}
    assert kinds == {"dng": ["2", "2", "2"], "pef": ["1", "0", "0"], "raw": ["1", "0", "0"]}
    assert "of 1 kinds of which LibRaw reads a sample, 1 are read (100%)" in printed.stdout
    files = {name: row[1:] for name, row in table(printed.stdout, "RAW by file").items()}
    assert files["one.dng"] == ["preview 1200x800", "RAW 1200x800"]
    assert files["two.DNG"] == ["samples 240x160", "RAW 240x160"]


def test_dates_and_cameras_are_compared_with_what_another_program_finds(tmp_path: Path) -> None:
    """A stand-in for exiftool, which says the same of every file: right for the one, wrong for the other."""
    (tmp_path / "a.dng").write_bytes(dng(scene(240, 160), 6))
    (tmp_path / "b.dng").write_bytes(dng(scene(240, 160), 6, taken="2001:01:01 00:00:00"))
    said = {"DateTimeOriginal": "2023:05:06 07:08:09", "Model": "Testmaker One", "Orientation": 6}
    program = (
        f"import json, sys; print(json.dumps([{{'SourceFile': p, **{said}}} for p in sys.argv if p.endswith('.dng')]))"
    )
    (tmp_path / "says.py").write_text(program)
    printed = run(str(tmp_path), "--exiftool", f"{sys.executable} {tmp_path / 'says.py'}")
    assert table(printed.stdout, "RAW by kind")["dng"][3:] == ["1 of 2", "2 of 2", "2 of 2"]


def test_a_folder_without_samples_is_told(tmp_path: Path) -> None:
    printed = run(str(tmp_path))
    assert printed.returncode == 1 and "no RAW files" in printed.stderr
