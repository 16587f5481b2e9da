"""The commands of docs/scale.md, as a reader types them, against servers on this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.indexes.servers import postgres
from tests.test_docs import ROOT, blocks

pytest.importorskip("pymilvus", reason="needs photoseek[milvus]")

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
COMMANDS = [line for kind, text in blocks(PAGE) if kind == "sh" for line in text.splitlines() if line.strip()]


def test_commands_of_the_page_run(tmp_path: Path) -> None:
    assert any("milvus:" in command for command in COMMANDS)
    assert any("pgvector" in command for command in COMMANDS)
    environment = os.environ | {
        "PHOTOSEEK_GALLERY": str(tmp_path / "gallery"),
        "PHOTOSEEK_CONFIG": str(tmp_path / "config.toml"),
        "PHOTOSEEK_DAEMON": "0",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres().port),
        "PGUSER": "tests",
        "PGDATABASE": "postgres",
    }
    shutil.copytree(ROOT / "examples" / "photos", tmp_path / "photos")
    for command in COMMANDS:
        words = shlex.split(command.replace("/srv/photoseek", str(tmp_path / "lite")))
        assert words[0] == "photoseek"
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "cli.py"), *words[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "Traceback" not in done.stderr
        assert "warning" not in done.stderr.lower(), done.stderr
        if words[1] == "search":
            assert ".jpg" in done.stdout
    shown = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "info"], env=environment, capture_output=True, text=True, check=True
    )
    assert "pgvector://?index=HNSW&m=16&ef_construction=128 (asked for with --index)" in shown.stdout
    servers = (tmp_path / "config.toml").read_text(encoding="utf-8")
    assert "pgvector://" in servers
    assert "vectors.db" in servers
