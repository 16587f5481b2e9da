"""Who is let in, and what a browser may do with what it gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.web.front.security import host_name
from tests.web.conftest import client_of

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


# Names: a page whose name was rebound to 127.0.0.1 sends its own name


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]"]
)
def test_another_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "--allow-host" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:8765", "[::1]:8765", "localhost."])
def test_our_own_names_are_accepted(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_two_names_are_refused(client: TestClient) -> None:
    request = client.build_request("GET", "/healthz", headers=[("Host", "localhost"), ("Host", "evil.example")])
    assert client.send(request).status_code == 403


def test_the_host_given_and_allowed_names(gallery: Gallery) -> None:
    with client_of(gallery, host="192.168.7.7", token=TOKEN, allowed_hosts=("pictures.lan:99",)) as client:
        answers = {
            host: client.get("/healthz", headers={"Host": host}).status_code
            for host in ("192.168.7.7:8765", "Pictures.lan", "192.168.7.8", "other.lan")
        }
    assert list(answers.values()) == [200, 200, 403, 403]


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::", ""])
def test_all_addresses_means_any_address_but_no_name(gallery: Gallery, wildcard: str) -> None:
    with client_of(gallery, host=wildcard, token=TOKEN) as client:
        answers = {
            host: client.get("/healthz", headers={"Host": host}).status_code
            for host in ("192.168.7.8:8765", "[fe80::1]", "evil.example")
        }
    assert list(answers.values()) == [200, 200, 403]


@pytest.mark.parametrize(
    ("header", "name"),
    [("A.b:80", "a.b"), ("[::1]:80", "::1"), ("::1", "::1"), ("a:b", "a:b"), ("a.", "a"), ("[", ""), (":80", ":80")],
)
def test_host_name(header: str, name: str) -> None:
    assert host_name(header) == name


# Origins: what another site's page makes a browser send


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a form
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_other_origins_change_nothing(client: TestClient, method: str, headers: dict[str, str]) -> None:
    answer = client.request(method, "/api/v1/index", headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["title"]


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8765"}, {"Sec-Fetch-Site": "none"}]
)
def test_our_page_and_programs_may(client: TestClient, headers: dict[str, str]) -> None:
    assert client.put("/nothing", headers=headers).status_code == 404


def test_another_page_cannot_watch_us_think(client: TestClient) -> None:
    script = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/api/v1/stats", headers=script).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/?q=a+dog", headers=link).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/duplicates", "/api/v1/search?q=dog", "/api/v1/images/1/file", "/metrics"])
def test_a_window_that_another_page_opens_is_led_to_the_page_only(client: TestClient, path: str) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get(path, headers=link).status_code == 403
    assert client.get(path, headers=link | {"Sec-Fetch-Site": "none"}).status_code < 300  # typed, or a bookmark


@pytest.mark.parametrize(
    "header", [{"Sec-Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}]
)
def test_nothing_is_loaded_ahead_for_another_page(client: TestClient, header: dict[str, str]) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link | header).status_code == 403
    assert client.get("/", headers=link | header | {"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("dest", ["iframe", "frame", "object", "embed", "fencedframe", "empty"])
@pytest.mark.parametrize("path", ["/api/v1/duplicates", "/api/v1/search?q=dog", "/", "/api/v1/images/1/file"])
def test_a_frame_on_another_page_starts_nothing(client: TestClient, path: str, dest: str) -> None:
    frame = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": dest}
    assert client.get(path, headers=frame).status_code == 403
    assert client.get(path, headers=frame | {"Sec-Fetch-Site": "same-site"}).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link).status_code == 200


def test_no_other_origin_may_read(client: TestClient) -> None:
    answer = client.get("/api/v1/stats", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


# The token


@pytest.fixture
def guarded(web_gallery: Gallery) -> TestClient:
    with client_of(web_gallery, token=TOKEN) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/stats", "/api/v1/openapi.json", "/metrics", "/api/v1/images/1/file", "/nothing"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer \xe9"},
        {"Cookie": f"photoseek={TOKEN}"},
    ],
)
def test_without_the_token_there_is_nothing(guarded: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = guarded.get(path, headers={name: value.encode("latin-1") for name, value in headers.items()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["title"] == "this server asks for its token"


def test_a_program_sends_the_token(guarded: TestClient) -> None:
    assert guarded.get("/api/v1/stats", headers=BEARER).status_code == 200
    assert guarded.get("/api/v1/stats", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_health_needs_no_token(guarded: TestClient) -> None:
    assert guarded.get("/healthz").status_code == guarded.get("/api/v1/healthz").status_code == 200


def test_a_person_opens_an_address_once(guarded: TestClient) -> None:
    answer = guarded.get(f"/?q=a+dog&token={TOKEN}&not=caf%C3%A9", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?q=a+dog&not=caf%C3%A9"
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower() and "secure" not in cookie.lower()
    assert guarded.get("/api/v1/stats").status_code == 200  # the client keeps cookies as a browser does


def test_the_cookie_is_worth_nothing_elsewhere(guarded: TestClient, web_gallery: Gallery) -> None:
    cookie = guarded.get(f"/?token={TOKEN}", follow_redirects=False).headers["set-cookie"].partition(";")[0]
    with client_of(web_gallery, token=TOKEN + "2") as other:
        assert other.get("/api/v1/stats", headers={"Cookie": cookie}).status_code == 401
        name, _, value = cookie.partition("=")
        assert other.get("/api/v1/stats", headers={"Cookie": f"{name}={value[:-1]}"}).status_code == 401


def cookie_of(gallery: Gallery) -> str:
    with client_of(gallery, token=TOKEN) as client:
        answer = client.get(f"/?token={TOKEN}", follow_redirects=False)
    cookie: str = answer.headers["set-cookie"].partition(";")[0]
    return cookie


def test_the_cookie_does_not_follow_from_the_token(tmp_path: Path) -> None:
    """Else tokens could be guessed by cookies, as fast as the server answers; for the next server it is the same."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = Gallery(tmp_path / "one"), Gallery(tmp_path / "other")
    cookies = [cookie_of(gallery) for gallery in (one, one, other)]
    assert cookies[0] == cookies[1] and not set(cookies[0].split("=")) & set(cookies[2].split("="))
    (kept,) = one.path.glob("*page.key*")
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.stat().st_size == 32
    for damage in (b"", b"short", b"x" * 33):
        kept.write_bytes(damage)
        assert cookie_of(one) != cookies[0] and kept.stat().st_size == 32
    nowhere = Gallery(tmp_path / "nowhere")
    assert cookie_of(nowhere) != cookie_of(nowhere) and not nowhere.path.exists()


@pytest.mark.parametrize("address", ["/?token=wrong", f"/api/v1/stats?token={TOKEN}", "/?token=", "/?token=%ff"])
def test_the_token_in_an_address_counts_at_the_page_only(guarded: TestClient, address: str) -> None:
    answer = guarded.get(address, follow_redirects=False)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_a_token_in_the_address_of_a_post_is_no_way_in(guarded: TestClient) -> None:
    assert guarded.post(f"/?token={TOKEN}", follow_redirects=False).status_code == 401


# The form for the token

PERSON = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}


@pytest.mark.parametrize("address", ["/", "/?q=a+dog", "/?token=wrong"])
def test_a_person_without_the_token_gets_a_form(guarded: TestClient, address: str) -> None:
    answer = guarded.get(address, headers={**PERSON, "Accept-Language": "de"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert '<html lang="de">' in answer.text and '<form method="post">' in answer.text
    assert answer.headers["Referrer-Policy"] == "same-origin", "else the form is sent with Origin: null, and refused"
    assert "<script" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "script-src" not in policy


@pytest.mark.parametrize("path", ["/api/v1/stats", "/metrics", "/nothing"])
def test_a_form_is_for_the_page_only(guarded: TestClient, path: str) -> None:
    assert guarded.get(path, headers=PERSON).headers["content-type"] == "application/problem+json"


def test_the_form_lets_in_and_leads_to_what_was_opened(guarded: TestClient) -> None:
    answer = guarded.post("/?q=a+dog", data={"token": TOKEN}, headers=PERSON, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?q=a+dog"
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie and "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
    assert guarded.get("/?q=a+dog").status_code == 200


@pytest.mark.parametrize(
    "body", ["token=wrong", "token=", "", "other=1", f"token={TOKEN}x", "token=%ff", "token=" + "a" * 5000]
)
def test_a_wrong_token_is_told_in_the_form(guarded: TestClient, body: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = guarded.post("/", content=body, headers={**PERSON, **form}, follow_redirects=False)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "That is not the token of this server." in answer.text


def test_another_sites_page_cannot_fill_the_form_in(guarded: TestClient) -> None:
    theirs = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = guarded.post("/", data={"token": TOKEN}, headers=theirs, follow_redirects=False)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_over_https_the_cookie_stays_there(web_gallery: Gallery) -> None:
    with client_of(web_gallery, token=TOKEN) as client:
        answer = client.post("https://localhost/", data={"token": TOKEN}, follow_redirects=False)
        assert "secure" in answer.headers["set-cookie"].lower()


def test_files_of_the_program_need_no_token(guarded: TestClient) -> None:
    assert guarded.get("/static/app.css").status_code == 200
    assert guarded.get("/static/../api/v1/stats").status_code == 401
    assert guarded.get("/static/nothing").status_code == 404


# Headers


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/api/v1/openapi.json"])
def test_every_answer_tells_the_browser_what_it_may(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "geolocation=()" in headers["permissions-policy"]
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert ("script-src 'self'" in policy) == (path == "/")
    assert "server" not in headers


def test_answers_about_pictures_are_not_kept(client: TestClient) -> None:
    assert client.get("/api/v1/stats").headers["cache-control"] == "no-store"


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..%5c..%5cerrors.py",
        "/static/index.html%00.css",
        "/api/v1/images/..%2f..%2f/file",
        "/api/v1/images/%2fetc%2fpasswd/file",
        "/api/v1/images/1%00/file",
        "/api/v1/../../etc/passwd",
        "//etc/passwd",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "root:" not in answer.text and "from __future__" not in answer.text


def test_the_document_tells_of_the_token(guarded: TestClient, client: TestClient) -> None:
    document = guarded.get("/api/v1/openapi.json", headers=BEARER).json()
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "security" not in client.get("/api/v1/openapi.json").json()
