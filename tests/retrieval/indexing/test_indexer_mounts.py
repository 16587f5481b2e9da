"""Drives that are plugged in and out, with real mounts: mount_cases.py in a private mount namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _namespace(folder: Path) -> list[str]:
    """The command that runs another one where it may mount, or a skip."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        pytest.skip("no unshare or mount on this system")
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    tried = subprocess.run([*command, "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"file systems may not be mounted here: {tried.stderr.strip()}")
    return command


def test_drives_that_come_and_go(tmp_path: Path) -> None:
    project = Path(__file__).parents[3]
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'in'}"]
    done = subprocess.run(
        [*_namespace(tmp_path), *pytest_command, "tests/retrieval/mount_cases.py"],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
