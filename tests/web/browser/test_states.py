"""What the page says where there is nothing to show, and while the server is away."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retrieval.gallery import Gallery
from tests.conftest import EXAMPLES
from tests.web.browser.conftest import count_line, names, settled, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_stopped_server_leaves_the_pictures_and_is_waited_for(
    open_page: Callable[..., Page], start_server: Callable[..., Running], web_gallery: Gallery
) -> None:
    server = start_server(web_gallery.path)
    page = open_page(server=server)
    page.watch.expected += ["ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]  # type: ignore[attr-defined]
    wait_for_pictures(page)
    shown = names(page)
    server.stop()
    page.fill("#q", "a bird")
    until(page, "() => !document.querySelector('#banner').hidden")
    assert "does not answer" in page.inner_text("#banner")
    assert "Trying again" in page.inner_text("#banner")
    assert names(page) == shown
    start_server(web_gallery.path, "--port", server.url.rpartition(":")[2])
    # By itself, after a while; nobody has to reload.
    until(page, "() => document.querySelector('#banner').hidden")
    settled(page)
    assert names(page) != shown
    assert page.locator("#banner").is_hidden()


def test_a_gallery_without_pictures_offers_folders_and_shows_the_first_ones(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLES / "flowers", tmp_path / "allowed" / "holidays" / "flowers")
    (tmp_path / "place").mkdir()
    server = start_server(tmp_path / "place" / "gallery", "--allow-folder", str(tmp_path / "allowed"))
    page = open_page(server=server)
    page.watch.expected.append("503")  # type: ignore[attr-defined]
    page.wait_for_selector(".picker-folder")
    said = page.inner_text("#message")
    assert "No pictures yet" in said and "photoseek" not in said
    for dead in ("#filters", "#bar", "#size", "#sort", "#banner"):
        assert page.locator(dead).is_hidden(), dead
    page.get_by_role("button", name="allowed", exact=True).click()
    page.get_by_role("button", name="holidays").click()
    page.get_by_role("button", name="flowers").click()
    until(page, "() => document.querySelector('.picker-where').textContent.includes('pictures here')")
    page.get_by_role("button", name="Use this folder").click()
    wait_for_pictures(page)  # nobody has loaded the page again
    assert page.locator("#message").is_hidden() and page.locator("#bar").is_visible()
    assert "rose.jpg" in names(page, 30)


def test_who_may_not_change_anything_is_offered_no_folders(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    (tmp_path / "place").mkdir()
    page = open_page(server=start_server(tmp_path / "place" / "gallery", "--read-only"))
    page.watch.expected.append("503")  # type: ignore[attr-defined]
    until(page, "() => document.querySelector('#message').textContent.includes('nothing to look at')")
    assert page.locator(".picker").count() == 0


PROBLEMS = """async () => {
  const { inPeoplesWords } = await import("/static/problems.js");
  const type = name => `https://photoseek.invalid/problems/${name}`;
  const said = [
    { status: 503, type: type("gallery-error"), title: "it is damaged", detail: "run: photoseek verify --repair" },
    { status: 400, type: type("query-error"), title: "no such camera", detail: "see photoseek info --json" },
    { status: 400, type: type("query-error"), title: "'[' is no pattern: [^a]", detail: "" },
    { status: 400, type: type("settings-error"), title: "x", detail: "pip install 'photoseek[web]'" },
    { status: 500, title: "internal error", detail: "the log of photoseek serve says more" },
    { status: 418, title: "--help", detail: "PHOTOSEEK_TOKEN" },
  ];
  return said.map(inPeoplesWords).map(({ title, detail }) => `${title}|${detail}`);
}"""


def test_errors_are_told_without_commands_and_patterns(page: Page) -> None:
    told = page.evaluate(PROBLEMS)
    for text in told:
        assert not any(part in text for part in ("photoseek ", "--", "pip", "[^", "PHOTOSEEK")), text
        assert text.partition("|")[0]
    assert told[1] == "no such camera|"


def test_the_page_opens_while_the_server_is_away(
    open_page: Callable[..., Page], start_server: Callable[..., Running], web_gallery: Gallery
) -> None:
    server = start_server(web_gallery.path)
    page = open_page(server=server, guarded=False, service_workers="allow")
    page.watch.expected += ["ERR_", "Failed to"]  # type: ignore[attr-defined]
    wait_for_pictures(page)
    until(page, "async () => Boolean((await navigator.serviceWorker.getRegistration())?.active)")
    kept = page.evaluate(KEPT)
    assert {"/", "/static/main.js", "/static/app.css", "/static/messages/en.js"} <= set(kept)
    assert not [path for path in kept if path.startswith("/api/")]
    server.stop()
    page.goto(server.url + "/?q=a+bird")
    until(page, "() => !document.querySelector('#banner').hidden")
    assert page.input_value("#q") == "a bird"
    start_server(web_gallery.path, "--port", server.url.rpartition(":")[2])
    wait_for_pictures(page)
    assert not [path for path in page.evaluate(KEPT) if path.startswith("/api/")]


KEPT = """async () => {
  const found = [];
  for (const name of await caches.keys())
    for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);
  return found;
}"""


def test_places_are_kept_for_pictures_that_are_on_their_way(open_page: Callable[..., Page]) -> None:
    page = open_page("/healthz")
    page.route("**/api/v1/search?*", lambda route: None)  # an answer that takes its time
    page.goto(page.url.replace("/healthz", "/"))
    until(page, "() => document.querySelectorAll('.cell.waiting').length > 8")
    assert page.locator("#message").is_hidden()
    page.unroute_all(behavior="ignoreErrors")


def test_a_picture_whose_file_went_is_skipped_and_counted(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path, copied_gallery: Gallery
) -> None:
    gone = tmp_path / "photos" / "flowers" / "rose.jpg"
    gone.unlink()
    page = open_page("/?q=a+rose", server=start_server(copied_gallery.path))
    wait_for_pictures(page)
    assert "rose.jpg" not in names(page, 50)
    assert count_line(page).endswith(" · 1 file missing")


@pytest.fixture
def copied_gallery(tmp_path: Path) -> Gallery:
    """Two folders of the example photos with a gallery of their own, to be changed."""
    from retrieval.encoders.registry import load_encoder
    from retrieval.indexing.indexer import Indexer

    for folder in ("flowers", "sea"):
        shutil.copytree(EXAMPLES / folder, tmp_path / "photos" / folder)
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    return gallery
