"""A real browser on a real server. What it must not do in any test: ask another origin, break the page's policy, or
meet an error in the page's own code."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="needs playwright")

from playwright.sync_api import sync_playwright

from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        FloatRect,
        Locator,
        Page,
        Playwright,
        Request,
        Route,
    )

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PATIENCE_S = 180.0
"""How long a state may take to come, also on a busy machine; nothing is measured by it."""


def _chromium() -> str:
    found = os.environ.get("PHOTOSEEK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium, or its path in PHOTOSEEK_CHROMIUM")
    return found


class Watch:
    """What went wrong in the pages of one context.

    Attributes:
        wrong: uncaught errors, breaches of the policy, requests to elsewhere.
        expected: parts of messages that a test provokes on purpose.
        asked: every address, in order.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.wrong: list[str] = []
        self.expected: list[str] = []
        self.asked: list[str] = []

    def is_ours(self, url: str) -> bool:
        return url.startswith((self.origin + "/", "blob:", "data:"))

    def route(self, route: Route) -> None:
        """Let pass what goes to the server and nothing else."""
        if self.is_ours(route.request.url):
            route.continue_()
        else:
            route.abort()

    def request(self, request: Request) -> None:
        """Take down what is asked for."""
        self.asked.append(request.url)
        if not self.is_ours(request.url):
            self.wrong.append(f"a request to {request.url}")

    def console(self, message: ConsoleMessage) -> None:
        """Take errors down."""
        if message.type == "error":
            self.wrong.append(f"{message.text} ({message.location.get('url', '')})")

    def verdict(self) -> list[str]:
        """What went wrong and was not expected."""
        return [one for one in self.wrong if not any(part in one for part in self.expected)]


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """The driver. It has an event loop run on this thread, so it leaves before tests that start one of their own."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests, with a folder of its own; nothing is shared between two contexts of it."""
    browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
    yield browser
    browser.close()


@pytest.fixture
def open_page(browser: Browser, running_server: Running) -> Iterator[Callable[..., Page]]:
    """``open_page("/?q=cat", width=390, height=844, ...)``: a page in a context of its own; more options are those of
    a browser context. ``page.watch`` is its :class:`Watch`; what it took down fails the test at the end. Requests to
    elsewhere are stopped if ``guarded``, for which a browser gives up its cache. Without ``service_workers="allow"`` no
    page is kept for later."""
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def open_(
        path: str = "/",
        *,
        server: Running | None = None,
        width: int = 1280,
        height: int = 800,
        guarded: bool = True,
        **more: Any,
    ) -> Page:
        watch = Watch((server or running_server).url)
        context = browser.new_context(
            viewport={"width": width, "height": height},
            reduced_motion=more.pop("reduced_motion", "reduce"),
            service_workers=more.pop("service_workers", "block"),
            **more,
        )
        contexts.append(context)
        watches.append(watch)
        context.set_default_timeout(PATIENCE_S * 1000)
        if guarded:
            context.route("**/*", watch.route)
        context.on("request", watch.request)
        context.on("console", watch.console)
        page = context.new_page()
        page.on("pageerror", lambda error: watch.wrong.append(f"uncaught: {error}"))
        page.watch = watch  # type: ignore[attr-defined]
        page.goto(watch.origin + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [watch.verdict() for watch in watches] == [[] for _ in watches]


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """The page as it opens, with its first pictures."""
    page = open_page()
    wait_for_pictures(page)
    return page


def until(page: Page, script: str, *, argument: Any = None) -> Any:
    """Wait until a script says something true; its value. The page's policy forbids what ``wait_for_function`` does."""
    end = time.monotonic() + PATIENCE_S
    while not (value := page.evaluate(script, argument)):
        if time.monotonic() > end:
            pytest.fail(f"never became true: {script}")
        page.wait_for_timeout(20)
    return value


def box_of(locator: Locator) -> FloatRect:
    """Where an element is, once it is there and drawn: parts of the page are drawn anew whenever an answer comes."""
    end = time.monotonic() + PATIENCE_S
    while (box := locator.bounding_box()) is None:
        if time.monotonic() > end:
            pytest.fail(f"never drawn: {locator}")
        locator.page.wait_for_timeout(20)
    return box


def wait_for_pictures(page: Page) -> None:
    """Until the first picture of the list is drawn and nothing is being searched for."""
    page.wait_for_selector(".cell[data-rank='1'] img.loaded")
    settled(page)


def settled(page: Page) -> None:
    """Until nothing that was typed or clicked waits for its answer."""
    until(page, "() => !['typing', 'searching', 'busy'].some(name => document.body.classList.contains(name))")


def names(page: Page, count: int = 10) -> list[str]:
    """Names of the first pictures of the list, in order."""
    script = "count => [...document.querySelectorAll('.cell[data-rank] img')].slice(0, count).map(img => img.alt)"
    return list(page.evaluate(script, count))


def count_line(page: Page) -> str:
    """What the page says of how many pictures there are."""
    return page.inner_text("#count")
