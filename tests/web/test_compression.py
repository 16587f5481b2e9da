"""JSON is sent compressed to clients that take it, and the same otherwise."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

SEARCH = "/api/v1/search?q=a+bird&k=50"


def test_hits_are_sent_compressed(client: TestClient) -> None:
    packed = client.get(SEARCH, headers={"Accept-Encoding": "gzip"})
    plain = client.get(SEARCH, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in packed.headers["vary"]
    assert [hit["id"] for hit in packed.json()["hits"]] == [hit["id"] for hit in plain.json()["hits"]]
    assert int(packed.headers["content-length"]) * 3 < int(plain.headers["content-length"])


@pytest.mark.parametrize("header", ["", "br", "gzip;q=0", "gzip; q=0.0", "identity"])
def test_clients_that_do_not_take_it_get_it_plain(client: TestClient, header: str) -> None:
    assert "content-encoding" not in client.get(SEARCH, headers={"Accept-Encoding": header}).headers


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/images/1/thumbnail?size=240", "/api/v1/images/1/file"])
def test_small_answers_and_pictures_stay_as_they_are(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers


def test_errors_are_told_as_before(client: TestClient) -> None:
    answer = client.get("/api/v1/images/999999", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 404
    assert answer.json()["status"] == 404
