"""Full and read-only disks, with real mounts: disk_cases.py in a private mount namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.retrieval.indexing.test_indexer_mounts import _namespace


def test_disks_that_are_full_or_cannot_be_written(tmp_path: Path) -> None:
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'in'}"]
    pytest_command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(
        [*_namespace(tmp_path), *pytest_command, "tests/disk_cases.py"],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "skipped" not in done.stdout
