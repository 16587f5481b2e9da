"""examples/compose.yaml: its commands of photoseek run here as processes, beside servers of the tests; and the page's
table of sizes is that of its script."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EXAMPLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")

yaml = pytest.importorskip("yaml")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = {"catalog", "vectors"}


def test_the_page_and_the_file_name_the_same_parts() -> None:
    assert "examples/compose.yaml" in PAGE
    assert set(SERVICES) == {*SERVERS, "init", "indexer", "serve"}
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
    assert not [word for word in ("PASSWORD:", "password:") if word in str(SERVICES)], "secrets are in files"


def test_the_values_of_helm_are_yaml() -> None:
    values = yaml.safe_load((ROOT / "examples" / "milvus-values.yaml").read_text(encoding="utf-8"))
    assert values["cluster"]["enabled"] and "examples/milvus-values.yaml" in PAGE


def test_the_table_of_sizes_is_that_of_the_script() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.sizing"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() in PAGE, "put the output of python -m benchmarks.sizing into docs/scale.md"


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the file names -> what is here."""
    pytest.importorskip("psycopg", reason="needs photoseek[postgres]")
    pytest.importorskip("milvus_lite", reason="needs photoseek[milvus]")
    pytest.importorskip("fastapi", reason="needs photoseek[web]")
    from tests.indexes.servers import free_port
    from tests.retrieval.catalog.servers import new_address

    catalog, port = new_address(), free_port()
    program = [str(Path(sys.executable).with_name("milvus-lite")), "server", "--host", "127.0.0.1"]
    with (tmp_path / "vectors.log").open("w") as log:
        vectors = subprocess.Popen(
            [*program, "--port", str(port), "--data-dir", str(tmp_path / "vectors")], stdout=log, stderr=log
        )
    try:
        until(lambda: answers(port), (tmp_path / "vectors.log").read_text)
        shutil.copytree(EXAMPLES / "birds", tmp_path / "photos")
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        (secrets / "token").write_text("a-token-of-some-length\n")
        (secrets / "page-key").write_text("ab" * 32 + "\n")
        yield {
            "postgresql+psycopg://photos@catalog:5432/photos": catalog.server,
            "milvus+http://vectors:19530": f"milvus+http://127.0.0.1:{port}",
            "/home/photoseek": str(tmp_path / "home"),
            "/run/secrets": str(secrets),
            "/photos": str(tmp_path / "photos"),
            "--host 0.0.0.0 --port 8765": "--host 127.0.0.1 --port 0",
            "exec photoseek": f"exec {sys.executable} {ROOT / 'cli.py'}",
            "photoseek init": f"{sys.executable} {ROOT / 'cli.py'} init",
            "$$": "$",
        }
    finally:
        vectors.terminate()
        vectors.wait(60)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(is_so: Callable[[], bool], said: Callable[[], str]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end, said()
        time.sleep(0.2)


def begun(name: str, places: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """A container's process; ``folder`` is its own."""
    service = SERVICES[name]
    command = service["command"]
    words = [command[2]] if command[:2] == ["sh", "-c"] else [" ".join(command)]

    def here(text: str) -> str:
        for named, found in places.items():
            text = text.replace(named, found)
        return text

    own = {key: here(str(value)) for key, value in service["environment"].items() if key != "PGPASSFILE"}
    own["PHOTOSEEK_GALLERY"] = str(folder / "gallery")
    folder.mkdir(exist_ok=True)
    environment = os.environ | own | {"PHOTOSEEK_CONFIG": str(folder / "config.toml"), "PHOTOSEEK_DAEMON": "never"}
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            ["sh", "-c", here(words[0])], env=environment, cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=log
        )


def test_its_commands_run(places: dict[str, str], tmp_path: Path) -> None:
    for name in ("init", "indexer", "indexer"):
        folder = tmp_path / name
        with begun(name, places, folder) as process:
            assert process.wait(timeout=600) == 0, (folder / f"{name}.log").read_text()
    assert "milvus+http" in (tmp_path / "indexer" / "indexer.log").read_text()
    with ExitStack() as stack:
        found = []
        for number in (1, 2):
            folder = tmp_path / f"serve-{number}"
            process = stack.enter_context(begun("serve", places, folder))
            stack.callback(process.terminate)
            log = folder / "serve.log"
            until(lambda log=log, process=process: "http://" in log.read_text() or process.poll() is not None,
                  log.read_text)  # type: ignore[misc]  # fmt: skip
            assert process.poll() is None, log.read_text()
            url = next(word for word in log.read_text().split() if word.startswith("http://")).partition("?")[0]
            with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=120) as answer:
                assert answer.status == 200
            asked = urllib.request.Request(
                f"{url.rstrip('/')}/api/v1/search?q=an+owl&k=3",
                headers={"Authorization": "Bearer a-token-of-some-length"},
            )
            with urllib.request.urlopen(asked, timeout=120) as answer:
                found.append(answer.read())
            assert "warning" not in log.read_text().lower(), log.read_text()
        assert b"owl.jpg" in found[0]
