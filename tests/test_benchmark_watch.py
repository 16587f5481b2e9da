"""The benchmark of watching runs, and loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_benchmarks import table

pytest.importorskip("watchfiles", reason="needs photoseek[watch]")

ROOT = Path(__file__).resolve().parent.parent


def test_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmarks.watch", "--events", "60", "--seed", "3"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    rows = table(done.stdout, "Watching")
    assert rows["lost"] == ["0"] and rows["events"][0].startswith("60 in")
