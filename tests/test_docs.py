"""Every command and every line of Python in the README is run, in a fresh gallery, as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [(match[1], match[2]) for match in re.finditer(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)]
COMMANDS = [
    line for kind, body in BLOCKS if kind == "sh" for line in body.splitlines() if line.startswith("photoseek ")
]
MAKE_TARGETS = sorted(set(re.findall(r"\bmake ([a-z-]+)", README)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example photos and a gallery of them, as after the README's first command."""
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples" / "photos", place / "photos")
    (place / "queries.txt").write_text("a tiger\na red flower\n", encoding="utf-8")
    done = run("photoseek index photos", place)
    assert done.returncode == 0, done.stderr
    return place


def run(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a README command in a shell, with ``photoseek`` standing for this checkout's command line."""
    line = re.sub(r"\bphotoseek\b", f'"{sys.executable}" -W error "{ROOT / "cli.py"}"', command)
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(place / "gallery"), "PHOTOSEEK_MODELS": str(place / "models")}
    return subprocess.run(
        line, shell=True, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_readme_has_commands() -> None:
    assert len(COMMANDS) >= 14


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("photoseek forget")])
def test_command_runs(command: str, place: Path) -> None:
    done = run(command, place)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    # What the others say goes to stderr.
    if not re.search(r"index|--failures|photoseek label .*--|photoseek map --html", command):
        assert done.stdout.strip()


def test_forget_runs_last(place: Path) -> None:
    shutil.copytree(place / "gallery", place / "to-forget")
    (forget,) = [command for command in COMMANDS if command.startswith("photoseek forget")]
    done = run(f"{forget} --gallery to-forget", place)
    assert done.returncode == 0
    assert "120 pictures forgotten" in done.stderr


def test_library_lines_run(place: Path) -> None:
    (code,) = [body for kind, body in BLOCKS if kind == "python"]
    (place / "ten_lines.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "ten_lines.py"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "120 pictures"
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]


@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_make_targets_exist(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
