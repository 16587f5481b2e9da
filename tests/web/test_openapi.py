"""The API against its own description: whatever is sent, no server error, and answers of the form that is promised."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")
pytest.importorskip("schemathesis")

from retrieval.filters import conditions
from retrieval.gallery import Gallery
from retrieval.web.app import create_app
from retrieval.web.settings import Settings

DOCUMENT = create_app(Gallery(Path(os.devnull).parent / "no-gallery"), Settings()).openapi()
STREAMS = [
    path
    for path, operations in DOCUMENT["paths"].items()
    if any(
        "text/event-stream" in answer.get("content", {})
        for answer in operations.get("get", {"responses": {}})["responses"].values()
    )
]
"""They end when the server does, so they are not asked."""
GALLERY = "PHOTOSEEK_TEST_GALLERY"
"""The variable that tells openapi_cases.py the gallery to serve."""


def test_every_operation_keeps_its_promise(own_gallery: Gallery, tmp_path: Path) -> None:
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'in'}"]
    done = subprocess.run(
        [*pytest_command, "tests/web/openapi_cases.py"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {GALLERY: str(own_gallery.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    operations = sum(len(methods) for methods in DOCUMENT["paths"].values())
    assert f"{operations - len(STREAMS)} passed" in done.stdout and "skipped" not in done.stdout, done.stdout


def test_the_document_has_the_whole_api() -> None:
    paths = {
        re.sub(r"\{\w+\}", "{id}", path.removeprefix("/api/v1")): set(operations)
        for path, operations in DOCUMENT["paths"].items()
    }
    assert paths["/search"] == {"get", "post"}
    assert paths["/index"] == {"get", "post", "delete"}
    for path in (
        "/similar/{id}", "/images/{id}", "/images/{id}/thumbnail", "/images/{id}/file", "/facets", "/tags",
        "/duplicates", "/stats", "/index/events", "/events", "/healthz", "/metrics",
    ):  # fmt: skip
        assert "get" in paths[path]


def test_every_operation_says_what_it_does() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert "default" in operation["responses"], (method, path)


def test_a_range_may_be_a_number_and_is_described_as_one() -> None:
    fields = DOCUMENT["components"]["schemas"]["ExportBody"]["properties"]
    spans = [name for name, condition in conditions.fields() if condition.kind == "span"]
    assert {"iso", "no_focal_length"} <= set(spans)
    for name in spans:
        kinds = {value["type"] for value in fields[name]["anyOf"][0]["items"]["anyOf"]}
        assert kinds == {"number", "string"}, name
