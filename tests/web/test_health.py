"""``/healthz``, ``/metrics``, ``/stats``."""

from __future__ import annotations

import sqlite3

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from tests.web.conftest import client_of


def measured(client: TestClient) -> dict[tuple[str, str], float]:
    """Name and labels -> value."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, " ".join(s.labels.values())): s.value for family in families for s in family.samples}


def test_healthz(client: TestClient) -> None:
    answer = client.get("/healthz")
    assert answer.json() == {"status": "ok"} == client.get("/api/v1/healthz").json()


def test_stats_are_what_info_prints(client: TestClient) -> None:
    facts = client.get("/api/v1/stats").json()
    assert facts["images"] == sum(facts["formats"].values()) > 50
    assert [encoder["name"] for encoder in facts["encoders"]] == ["builtin-224"]


def test_stats_can_tell_of_folders_that_are_no_text(own_gallery: Gallery) -> None:
    with sqlite3.connect(own_gallery.catalog_path) as catalog:
        catalog.execute("UPDATE folders SET path = ? WHERE is_root", [b"/photos/caf\xe9"])
    catalog.close()
    with client_of(own_gallery) as client:
        facts = client.get("/api/v1/stats")
    assert facts.status_code == 200
    assert facts.json()["folders"] == ["/photos/caf\ufffd"]


def test_requests_are_counted_by_route_and_outcome(client: TestClient) -> None:
    before = measured(client)
    for image in (1, 2, 10**9):
        client.get(f"/api/v1/images/{image}")
    client.get("/nothing/at/all")
    client.get("/healthz", headers={"Host": "evil.example"})
    after = measured(client)
    more = {key: after[key] - before.get(key, 0.0) for key in after if key[0] == "photoseek_requests_total"}
    assert more["photoseek_requests_total", "/images/{id} 200"] == 2
    assert more["photoseek_requests_total", "/images/{id} 404"] == 1
    assert more["photoseek_requests_total", "other 404"] == 1
    assert more["photoseek_requests_total", "other 403"] == 1
    assert after["photoseek_request_seconds_count", "/images/{id}"] >= 3
    assert after["photoseek_requests_in_progress", ""] == 1  # the one that asks


def test_strangers_invent_no_labels(client: TestClient) -> None:
    for word in ("made-up-one", "made-up-two"):
        client.get(f"/{word}")
        client.request("BREW", f"/static/{word}")
    assert not [labels for _, labels in measured(client) if "made-up" in labels or "BREW" in labels]


def test_stages_are_timed(client: TestClient) -> None:
    before = measured(client)
    assert client.get("/api/v1/search", params={"q": "a word that nobody asked for yet"}).status_code == 200
    after = measured(client)
    for stage in ("wait", "encode", "search"):
        key = ("photoseek_stage_seconds_count", stage)
        assert after[key] > before.get(key, 0.0)
    for how in ("asked", "embedded"):
        key = ("photoseek_texts_total", how)
        assert after[key] == before.get(key, 0.0) + 1
