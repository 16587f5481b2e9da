"""``photoseek watch`` and ``index --watch`` as processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES

pytest.importorskip("watchfiles", reason="needs photoseek[watch]")

ROOT = Path(__file__).parent.parent.parent.parent
PATIENCE_S = 300.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", str(ROOT / "cli.py"), *arguments]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {"PHOTOSEEK_GALLERY": str(tmp_path / "gallery"), "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    return {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"} | own


def found(environment: dict[str, str]) -> set[str]:
    asked = command("search", "--under", "/", "--paths", "-n", "all")
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return {Path(line).name for line in done.stdout.splitlines()}


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


@pytest.mark.parametrize("before", [("watch", "--nice", "0"), ("index", "-q", "--watch")], ids=" ".join)
def test_pictures_are_found_as_they_come(environment: dict[str, str], tmp_path: Path, before: tuple[str, ...]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(EXAMPLES / "birds" / "owl.jpg", photos)
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(command(*before, str(photos)), env=environment, stdout=log, stderr=log) as process:
        try:
            until(lambda: found(environment) == {"owl.jpg"})
            shutil.copy(EXAMPLES / "birds" / "flamingo.png", photos)
            until(lambda: found(environment) == {"owl.jpg", "flamingo.png"})
            (photos / "owl.jpg").unlink()
            until(lambda: found(environment) == {"flamingo.png"})
            if before[0] == "watch":  # a search leaves out what is gone before the watcher has seen it
                until(lambda: "1 removed in" in (tmp_path / "log").read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE_S)
    said = (tmp_path / "log").read_text()
    assert code == 0, said
    if before[0] == "watch":
        assert "watching 1 folder" in said and "1 new in" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no folder was given"),
        (("nowhere",), "there is no folder nowhere"),
        (("--on-battery", "sleep"), "use run or pause"),
        (("--install", "nowhere"), "there is no folder"),
    ],
)
def test_bad_input_is_two_lines(environment: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run(command("watch", *arguments), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 2 and said in done.stderr, done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs systemd's folders")
def test_a_service_is_written_and_removed(environment: dict[str, str], tmp_path: Path) -> None:
    photos = tmp_path / 'my "photos" 100%'
    photos.mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked = command("watch", *arguments, str(photos))
        return subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)

    done = run("--install", "--max-cpu", "50")
    assert done.returncode == 0 and "systemctl --user enable --now photoseek-watch-" in done.stdout, done.stderr
    (unit,) = (tmp_path / "home" / ".config" / "systemd" / "user").iterdir()
    text = unit.read_text()
    assert '"--max-cpu" "50.0" "--" "' in text and '/my \\"photos\\" 100%%"' in text
    unit.write_text(text + "# mine\n")
    assert run("--install").returncode == 2 and unit.read_text().endswith("# mine\n")
    assert run("--uninstall", "--force").returncode == 0 and not unit.exists()
