"""Wrong tokens are slowed down by address; who has the cookie, or another address, is let in meanwhile."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.web.front.guesses import AT_ONCE, EVERY_S, Guesses
from tests.web.conftest import client_of

TOKEN = "a-token-of-some-length"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_allowance_that_comes_back() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    for _ in range(AT_ONCE):
        assert guesses.may("10.0.0.1")
        guesses.wrong("10.0.0.1")
    assert not guesses.may("10.0.0.1") and guesses.may("10.0.0.2")
    clock.now += EVERY_S
    assert guesses.may("10.0.0.1")
    guesses.wrong("10.0.0.1")
    assert not guesses.may("10.0.0.1")
    clock.now += AT_ONCE * EVERY_S
    for _ in range(AT_ONCE):
        assert guesses.may("10.0.0.1")
        guesses.wrong("10.0.0.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True), ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True), ("fe80::1%eth0", "fe80::2%eth0", True), ("", "10.0.0.1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_one_machine(one: str, other: str, same: bool) -> None:
    guesses = Guesses(Clock())
    for _ in range(AT_ONCE):
        guesses.wrong(one)
    assert guesses.may(other) is not same


def test_many_addresses_take_bounded_space() -> None:
    guesses = Guesses(Clock())
    for number in range(10_000):
        guesses.wrong(f"10.0.{number // 256}.{number % 256}")
    assert len(guesses._until) <= 4096


@pytest.fixture
def guarded(web_gallery: Gallery) -> TestClient:
    with client_of(web_gallery, token=TOKEN) as client:
        yield client


def _wrong(client: TestClient, way: str, number: int) -> int:
    if way == "bearer":
        answer = client.get("/api/v1/stats", headers={"Authorization": f"Bearer {number:020}"})
    elif way == "address":
        answer = client.get(f"/?token={number:020}")
    else:
        answer = client.post("/", data={"token": f"{number:020}"})
    return answer.status_code


@pytest.mark.parametrize("way", ["bearer", "address", "form"])
def test_wrong_tokens_are_slowed_down_and_the_cookie_stays_good(guarded: TestClient, way: str) -> None:
    with TestClient(guarded.app, base_url="http://127.0.0.1:8765") as owner:
        assert owner.get(f"/?token={TOKEN}", follow_redirects=False).status_code == 303
        assert [_wrong(guarded, way, number) for number in range(AT_ONCE)] == [401] * AT_ONCE
        refused = guarded.get("/api/v1/stats", headers={"Authorization": f"Bearer {TOKEN}"})
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) == 6, "nothing is said about it"
        assert owner.get("/api/v1/stats").status_code == 200, "who has the cookie does not notice"
        assert guarded.get("/healthz").status_code == 200
        assert guarded.get("/api/v1/stats").status_code == 401, "without a token it is no guess"


def test_right_tokens_are_not_counted(guarded: TestClient) -> None:
    for _ in range(3 * AT_ONCE):
        assert guarded.get("/api/v1/stats", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_what_a_proxy_says_of_addresses_is_not_believed(guarded: TestClient) -> None:
    """Else whoever writes another address with each guess could go on guessing."""
    answers = [
        guarded.get("/api/v1/stats", headers={"Authorization": "Bearer wrong", header: f"{say}10.0.0.{number}"})
        for number in range(AT_ONCE)
        for header, say in (("X-Forwarded-For", ""), ("Forwarded", "for="), ("X-Real-IP", ""))
    ]
    assert [answer.status_code for answer in answers] == [401] * AT_ONCE + [429] * 2 * AT_ONCE
