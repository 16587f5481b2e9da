"""A picture's file in the file manager: only for someone on the machine of the server, and never through a shell."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web.pictures import showing
from tests.conftest import EXAMPLES
from tests.web.conftest import Running, client_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these file managers are Linux's")

NASTY = "$(touch gone) 'a' \"b\" --help; rm -rf.jpg"

WRITES = {"X-Requested-With": "tests"}


def record(folder: Path, name: str, code: int = 0) -> Path:
    """A program that writes its arguments down and ends with a code."""
    path = folder / name
    told = folder / f"{name}.json"
    script = f"import json, sys\nopen({str(told)!r}, 'w').write(json.dumps(sys.argv[1:]))\nsys.exit({code})\n"
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return told


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """One picture with a name that a shell would make something of."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / NASTY).write_bytes(next(EXAMPLES.rglob("*.jpg")).read_bytes())
    gallery = Gallery(tmp_path / "gallery")
    from retrieval.encoders.registry import load_encoder

    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    return gallery


def test_the_file_manager_gets_the_file_as_one_argument(
    gallery: Gallery, tmp_path: Path, start_server: Callable[..., Running]
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    selecting, opening = record(programs, "gdbus", code=1), record(programs, "xdg-open")
    env = {**os.environ, "DISPLAY": ":9", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    server = start_server(gallery.path, env=env)
    at = f"{server.url}/api/v1/images/1/shown"
    assert httpx.get(at).json() == {"showable": True}
    assert httpx.post(at, headers=WRITES).status_code == 204
    told = json.loads(selecting.read_text())
    assert told[-2] == f"['{(tmp_path / 'photos' / NASTY).as_uri()}']" and "'" not in told[-2][2:-2]
    assert json.loads(opening.read_text()) == [str(tmp_path / "photos")], "the next one is tried"
    opening.unlink()
    for headers in ({"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"}, {"Origin": "http://evil.example"},
                    {"Sec-Fetch-Site": "cross-site"}):  # fmt: skip
        assert httpx.post(at, headers={**WRITES, **headers}).status_code == 403
    assert not opening.exists()
    assert httpx.post(at.replace("/1/", "/999/"), headers=WRITES).status_code == 404
    (tmp_path / "photos" / NASTY).rename(tmp_path / "elsewhere.jpg")
    assert httpx.post(at, headers=WRITES).status_code == 404 and not opening.exists()


def test_a_machine_without_a_screen_shows_nothing(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert showing.commands(Path("/photos/a.jpg")) == []
    with client_of(gallery) as client:  # whose address is none of loopback
        assert client.get("/api/v1/images/1/shown").json() == {"showable": False}
        answer = client.post("/api/v1/images/1/shown")
        assert answer.status_code == 403 and "copy its path" in answer.json()["detail"]


def test_commands_that_fail_or_are_not_there() -> None:
    assert showing.show([["/no/such/program"], ["false"], ["true"]])
    assert not showing.show([["false"]])
    assert not showing.show([])


def test_a_file_manager_that_stays_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_PATIENCE_S", 0.2)
    assert showing.show([["sh", "-c", "sleep 5; exit 1"]]), "nobody asked how it ends"
