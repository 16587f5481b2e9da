"""The API against its own description: whatever is sent, no server error, and answers of the form that is promised."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")
pytest.importorskip("schemathesis")

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi import checks as openapi_checks

from retrieval.gallery import Gallery
from retrieval.web.app import create_app
from retrieval.web.settings import Settings
from tests.web.conftest import Running

DOCUMENT = create_app(Gallery(Path(os.devnull).parent / "no-gallery"), Settings()).openapi()
STARTS = {"path": "/api/v1/index", "method": "POST"}
STREAM = "/api/v1/index/events"  # ends when the server does

api = schemathesis.openapi.from_dict(DOCUMENT).exclude(path=STREAM).exclude(**STARTS)
starting = schemathesis.openapi.from_dict(DOCUMENT).include(**STARTS)

# Valid by its form is not valid by its meaning: a cursor of another list, conditions that exclude each other.
NOT_MEANT = [openapi_checks.positive_data_acceptance]


def bounded(examples: int) -> settings:
    """The same few examples each time."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def fuzzed(
    web_gallery: Gallery, tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]
) -> Running:
    """A server of a gallery that nothing else uses."""
    place = tmp_path_factory.mktemp("fuzzed") / "gallery"
    shutil.copytree(web_gallery.path, place)
    return start_server(place)


@pytest.fixture(scope="module")
def rootless(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    """A server of a gallery that knows no folder, so that nothing can be indexed through it."""
    return start_server(tmp_path_factory.mktemp("rootless") / "gallery")


@api.parametrize()
@bounded(20)
def test_every_operation_keeps_its_promise(case: schemathesis.Case, fuzzed: Running, session: requests.Session) -> None:
    case.call_and_validate(base_url=fuzzed.url, session=session, timeout=30, excluded_checks=NOT_MEANT)


@starting.parametrize()
@bounded(40)
def test_no_body_indexes_what_the_gallery_does_not_know(
    case: schemathesis.Case, rootless: Running, session: requests.Session
) -> None:
    response = case.call_and_validate(base_url=rootless.url, session=session, timeout=30, excluded_checks=NOT_MEANT)
    assert 400 <= response.status_code < 500
    assert session.get(f"{rootless.url}/api/v1/index", timeout=30).json()["state"] == "idle"


def test_the_document_has_the_whole_api() -> None:
    paths = {
        re.sub(r"\{\w+\}", "{id}", path.removeprefix("/api/v1")): set(operations)
        for path, operations in DOCUMENT["paths"].items()
    }
    assert paths["/search"] == {"get", "post"}
    assert paths["/index"] == {"get", "post", "delete"}
    for path in (
        "/similar/{id}", "/images/{id}", "/images/{id}/thumbnail", "/images/{id}/file", "/facets", "/tags",
        "/duplicates", "/stats", "/index/events", "/healthz", "/metrics",
    ):  # fmt: skip
        assert "get" in paths[path]


def test_every_operation_says_what_it_does() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert "default" in operation["responses"], (method, path)
