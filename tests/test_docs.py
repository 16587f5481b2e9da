"""Every command and line of Python in the README, docs/guide.md and docs/web.md is run, in a fresh gallery, as a reader
would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
WEB = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return [(match[1], match[2]) for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def commands(text: str) -> list[str]:
    """The photoseek commands of a page, without those that its fences do not mark to be run."""
    return [
        line
        for kind, body in blocks(text)
        if kind == "sh"
        for line in body.splitlines()
        if line.startswith("photoseek ")
    ]


BLOCKS = blocks(README)
COMMANDS = list(dict.fromkeys(commands(README) + commands(GUIDE)))
STAYING = [command for command in COMMANDS if re.match("photoseek (serve|mcp)", command)]
"""They end when they are told to."""
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


def line_of(command: str) -> str:
    """A README command for a shell, with ``photoseek`` standing for this checkout's command line."""
    return re.sub(r"\bphotoseek\b", f'"{sys.executable}" -W error "{ROOT / "cli.py"}"', command)


def environment_of(place: Path) -> dict[str, str]:
    return os.environ | {
        "PHOTOSEEK_GALLERY": str(place / "gallery"),
        "PHOTOSEEK_MODELS": str(place / "models"),
        "PHOTOSEEK_CONFIG": str(place / "config.toml"),
        "PYTHONPATH": str(ROOT),
        "BROWSER": "true",  # the program of that name: it opens nothing
    }


def run(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a README command in a shell."""
    return subprocess.run(
        line_of(command),
        shell=True,
        cwd=place,
        env=environment_of(place),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@contextmanager
def serving(command: str, place: Path) -> Iterator[str]:
    """Run ``photoseek serve ...`` on a free port; its address. It has to leave in peace when it is told to."""
    server = subprocess.Popen(
        f"exec {line_of(command)} --port 0",
        shell=True,
        cwd=place,
        env=environment_of(place),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    with server:
        try:
            found = re.search(r"http://[0-9.:]+", server.stderr.readline())
            assert found, server.stderr.read()
            yield found[0]
        finally:
            server.terminate()
    assert server.returncode == 0


def test_the_pages_have_commands() -> None:
    assert len(commands(README)) >= 7
    assert len(commands(GUIDE)) >= 50


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in STAYING and not c.startswith("photoseek forget")])
def test_command_runs(command: str, place: Path) -> None:
    done = run(command, place)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    # What the others say goes to stderr.
    silent = (
        r"index|--failures|config (un)?set|photoseek export|label .*--|album (?!list|show)|photoseek map --html| > "
    )
    if not re.search(silent, command):
        assert done.stdout.strip()


@pytest.mark.parametrize("command", [c for c in STAYING if c.startswith("photoseek serve")])
def test_served_page_and_api_answer(command: str, place: Path) -> None:
    pytest.importorskip("fastapi", reason="needs photoseek[web]")
    with serving(command, place) as url:
        with urlopen(url, timeout=600) as page:
            assert page.headers["Content-Type"].startswith("text/html")
        with urlopen(f"{url}/api/v1/search?q=a+dog&k=1", timeout=600) as answer:
            assert json.load(answer)["total"] == 120


def test_mcp_answers_an_assistant(place: Path) -> None:
    pytest.importorskip("mcp", reason="needs photoseek[mcp]")
    (command,) = [command for command in STAYING if command.startswith("photoseek mcp")]
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    search = {"name": "search", "arguments": {"query": "a dog", "k": 1}}
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": search},
    ]
    with subprocess.Popen(
        f"exec {line_of(command)}",
        shell=True,
        cwd=place,
        env=environment_of(place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        answers = []
        for message in asked:
            server.stdin.write(json.dumps(message) + "\n")
            server.stdin.flush()
            if "id" in message:
                answers.append(json.loads(server.stdout.readline()))
        server.stdin.close()
    assert server.returncode == 0
    [hit] = answers[1]["result"]["structuredContent"]["hits"]
    assert Path(hit["path"]).is_file()


@pytest.fixture(scope="module")
def api(place: Path) -> Iterator[str]:
    """The address of a server of that gallery."""
    pytest.importorskip("fastapi", reason="needs photoseek[web]")
    with serving("photoseek serve", place) as url:
        yield url


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    "command", [line for kind, body in blocks(WEB) if kind == "sh" for line in body.splitlines() if line]
)
def test_curl_is_answered(command: str, api: str, place: Path) -> None:
    assert command.startswith("curl -s ")
    line = command.replace("http://127.0.0.1:8765", api).replace(
        "curl -s", "curl --fail-with-body --noproxy '*' -sS", 1
    )
    done = subprocess.run(line, shell=True, cwd=place, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "small.webp" in command:
        assert (place / "small.webp").read_bytes().startswith(b"RIFF")
    else:
        assert json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len([kind for kind, _ in blocks(WEB) if kind == "python"])))
def test_python_of_the_web_page_runs(number: int, api: str, place: Path) -> None:
    code = [body for kind, body in blocks(WEB) if kind == "python"][number]
    assert "http://127.0.0.1:8765" in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("http://127.0.0.1:8765", api)],
        cwd=place,
        env=environment_of(place),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "photos/" in done.stdout


def test_the_readmes_client_finds_pictures(api: str, place: Path) -> None:
    (code,) = [body for kind, body in BLOCKS if kind == "python" and "Client" in body]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("Client()", f"Client({api!r})")],
        cwd=place,
        env=environment_of(place),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["1", "2", "3"]


def test_an_assistants_settings_are_json_and_name_a_command() -> None:
    (body,) = [body for kind, body in blocks(WEB) if kind == "json"]
    (entry,) = json.loads(body)["mcpServers"].values()
    assert entry["command"] == "photoseek"
    assert entry["args"][0] == "mcp"


def test_forget_runs_last(place: Path) -> None:
    shutil.copytree(place / "gallery", place / "to-forget")
    (forget,) = [command for command in COMMANDS if command.startswith("photoseek forget")]
    done = run(f"{forget} --gallery to-forget", place)
    assert done.returncode == 0
    assert "120 pictures forgotten" in done.stderr


def test_library_lines_run(place: Path) -> None:
    (code,) = [body for kind, body in BLOCKS if kind == "python" and "Client" not in body]
    (place / "ten_lines.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "ten_lines.py"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "120 pictures"
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]


@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_make_targets_exist(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    ("page", "link"),
    [(page, link) for page in PAGES for link in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8"))],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    file, _, heading = link.partition("#")
    target = page.parent / file if file else page
    assert target.exists()
    if heading:
        titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


_NAMED = re.compile(
    r"(?<![\w*{<])\w[\w./-]*\.(?:py|js|css|md|svg|txt|toml|html)\b"
    r"|(?<![\w.])(?:retrieval|tests|docs|indexes|benchmarks|examples)/[\w./-]*"
)
_MADE_BY_READERS = {"out.html", "FILE.svg", "catalog.toml", "before-migrate-MOMENT.toml"}


CARD = ROOT / "retrieval" / "encoders" / "builtin" / "MODEL_CARD.md"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", CARD], ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """Names of files and folders between backticks; in the map of the code they stand under the folder they are in."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = {name.rstrip("/") for code in re.findall(r"`([^`\n]+)`", text) for name in _NAMED.findall(code)}
    skipped = {".git", ".venv", "__pycache__"}
    there = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for top in ROOT.iterdir() if top.name not in skipped
        for path in ([top, *top.rglob("*")] if top.is_dir() else [top])
    ]  # fmt: skip
    missing = {name for name in named - _MADE_BY_READERS if not any(path.endswith(f"/{name}") for path in there)}
    assert not missing
