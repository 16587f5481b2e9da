"""The soak runs, and finds nothing; the long form is in docs/reliability.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_benchmarks import table

pytest.importorskip("watchfiles", reason="needs photoseek[watch]")
pytest.importorskip("uvicorn", reason="needs photoseek[web]")
pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")

ROOT = Path(__file__).resolve().parent.parent


def test_nothing_is_wrong_lost_or_damaged_while_everything_happens_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--seconds", "15", "--seed", "7", "--rate", "10"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = table(done.stdout, "Soak")
    assert rows["wrong answers"] == rows["lost or wrong in the catalog"] == ["0"]
    assert rows["verify"] == ["exit code 0"]
