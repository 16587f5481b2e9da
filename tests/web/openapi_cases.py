"""Every operation of the API, asked as its own description allows and forbids: run by test_openapi.py in a process.

Schemathesis makes most of its cases when tests are collected, which takes as long as asking them all. Here that is done
once, and not by each process that shares in running the tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi import checks as openapi_checks

from tests.web.conftest import Running
from tests.web.test_openapi import DOCUMENT, GALLERY, STREAMS

STARTS = {"path": "/api/v1/index", "method": "POST"}

api = schemathesis.openapi.from_dict(DOCUMENT).exclude(path=STREAMS).exclude(**STARTS)
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
def fuzzed(start_server: Callable[..., Running]) -> Running:
    """A server of a gallery that nothing else uses."""
    return start_server(Path(os.environ[GALLERY]))


@pytest.fixture(scope="module")
def rootless(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    """A server of a gallery that knows no folder, so that nothing can be indexed through it."""
    return start_server(tmp_path_factory.mktemp("rootless") / "gallery")


@api.parametrize()
@bounded(20)
def test_every_operation_keeps_its_promise(case: schemathesis.Case, fuzzed: Running, session: requests.Session) -> None:
    case.call_and_validate(base_url=fuzzed.url, session=session, timeout=600, excluded_checks=NOT_MEANT)


@starting.parametrize()
@bounded(40)
def test_no_body_indexes_what_the_gallery_does_not_know(
    case: schemathesis.Case, rootless: Running, session: requests.Session
) -> None:
    response = case.call_and_validate(base_url=rootless.url, session=session, timeout=600, excluded_checks=NOT_MEANT)
    assert 400 <= response.status_code < 500
    assert session.get(f"{rootless.url}/api/v1/index", timeout=600).json()["state"] == "idle"
