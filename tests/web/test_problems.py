"""Every error is a problem in the words of the command line, and says no more than that."""

from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from retrieval import errors
from retrieval.errors import Busy
from retrieval.gallery import Gallery
from retrieval.web.app import create_app
from retrieval.web.front import problems
from retrieval.web.settings import Settings
from tests.web.conftest import LOCAL


def asked(error: Exception) -> TestClient:
    """A client of an application whose ``/broken`` raises ``error``."""
    app: FastAPI = create_app(Gallery("nowhere"), Settings())

    @app.get("/broken")
    async def broken() -> None:
        raise error

    return TestClient(app, base_url=LOCAL)  # not entered: the handlers need no parts


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.QueryError("m", "h"), 400, "query-error"),
        (errors.SettingsError("m", "h"), 400, "settings-error"),
        (errors.SpecError("m", "h"), 400, "spec-error"),
        (errors.PageExpired("m", "h"), 409, "page-expired"),
        (errors.UnknownImage("m", "h"), 404, "unknown-image"),
        (errors.GalleryNotFound("m", "h"), 503, "gallery-not-found"),
        (errors.GalleryLocked("m", "h"), 409, "gallery-locked"),
        (errors.GalleryOutdated("m", "h"), 503, "gallery-outdated"),
        (errors.WeightsUnavailable("m", "h"), 503, "weights-unavailable"),
        (errors.TextNotSupported("m", "h"), 422, "text-not-supported"),
        (errors.UnreadableImage("m", "h"), 415, "unreadable-image"),
    ],
)
def test_the_two_lines_of_the_command_line(error: Exception, status: int, kind: str) -> None:
    answer = asked(error).get("/broken")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": f"https://photoseek.invalid/problems/{kind}",
        "title": "m",
        "detail": "h",
        "status": status,
        "instance": "/broken",
    }


def test_busy_says_when_to_come_back() -> None:
    answer = asked(Busy()).get("/broken")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("error", [ValueError("a secret"), OSError(2, "a secret")])
def test_what_is_nobodys_doing_is_logged_and_not_told(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "photoseek"):
        answer = asked(error).get("/broken")
    assert answer.status_code == 500
    assert answer.json()["title"] == "internal error"
    assert "secret" not in answer.text
    assert "x-content-type-options" in answer.headers
    assert [record.exc_info is not None for record in caplog.records if "secret" in record.getMessage()] == [True]


def test_names_that_are_no_text_can_be_told() -> None:
    answer = asked(errors.QueryError("no picture b\udce9.jpg", "")).get("/broken")
    assert answer.json()["title"] == "no picture b\ufffd.jpg"
    assert "detail" not in answer.json()


def test_a_question_that_is_no_text_is_a_question(client: TestClient) -> None:
    asked = {"content": b'{"q": ["\\ud800 dog", "2:\\udfff"], "under": ["\\ud800"]}'}
    answer = client.post("/api/v1/search", headers={"Content-Type": "application/json"}, **asked)
    assert answer.status_code in (200, 400, 422)


def test_unknown_addresses_and_methods(client: TestClient) -> None:
    unknown = client.get("/api/v1/nothing")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "there is nothing at this address")
    wrong = client.put("/healthz")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert client.put("/api/v1/index").headers["allow"] == "DELETE, GET, POST"
    assert wrong.headers["content-type"] == problems.MEDIA_TYPE == unknown.headers["content-type"]


def test_what_is_not_valid_is_named_and_not_repeated(client: TestClient) -> None:
    answer = client.get("/api/v1/images/%3Cscript%3E")
    assert answer.status_code == 422
    body = answer.json()
    assert [each["where"] for each in body["errors"]] == ["path.id"]
    assert body["detail"].startswith("path.id: ")
    assert "script" not in body["detail"]


def test_the_document_says_what_errors_look_like(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    for path, operations in document["paths"].items():
        assert path.startswith("/api/v1/")
        for operation in operations.values():
            errors_ = {code: said for code, said in operation["responses"].items() if code[0] not in "123"}
            assert "default" in errors_
            for code, said in errors_.items():  # and not FastAPI's own form of 422, which nothing answers with
                assert said["content"] == problems.CONTENT, (path, code)
    assert document["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status"]
