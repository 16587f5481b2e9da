"""Searches over HTTP, and their answers."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

SEARCH = "/api/v1/search"


def ask(client: TestClient, **params: Any) -> dict[str, Any]:
    answer = client.get(SEARCH, params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(client: TestClient, status: int, **params: Any) -> dict[str, Any]:
    answer = client.get(SEARCH, params=params)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    return body


def ids(answer: dict[str, Any]) -> list[int]:
    return [hit["id"] for hit in answer["hits"]]
