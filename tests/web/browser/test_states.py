"""What the page says where there is nothing to show, and while the server is away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retrieval.gallery import Gallery
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


def test_a_gallery_without_pictures_says_how_to_get_some(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    page = open_page(server=start_server(tmp_path / "empty" / "gallery"))
    page.watch.expected.append("503")  # type: ignore[attr-defined]
    until(page, "() => !document.querySelector('#message').hidden")
    said = page.inner_text("#message")
    assert "No pictures yet" in said
    assert "photoseek index" in said
    assert page.locator(".cell").count() == 0
    assert page.locator("#banner").is_hidden()


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
    import shutil

    from retrieval.encoders.registry import load_encoder
    from retrieval.indexing.indexer import Indexer
    from tests.conftest import EXAMPLES

    for folder in ("flowers", "sea"):
        shutil.copytree(EXAMPLES / folder, tmp_path / "photos" / folder)
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    return gallery
