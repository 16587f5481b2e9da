"""The view of the gallery's folders and runs; new pictures without loading the page again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES
from tests.web.browser.conftest import count_line, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SOURCES = sorted(EXAMPLES.rglob("*.jpg"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures, indexed; one more file that is none."""
    folder = tmp_path / "own"
    folder.mkdir()
    for source in SOURCES[:6]:
        shutil.copy(source, folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing else")
    Indexer(Gallery(tmp_path / "gallery"), load_encoder("builtin-224")).run(folder)
    return folder


@pytest.fixture
def server(folder: Path, start_server: Callable[..., Running]) -> Running:
    return start_server(folder.parent / "gallery")


def start(page: Page) -> None:
    page.get_by_role("button", name="Look for new pictures").click()


def done(page: Page, text: str) -> None:
    page.wait_for_selector(f".report:has-text('{text}')")


def test_the_gallery_is_told(open_page: Callable[..., Page], server: Running, folder: Path) -> None:
    page = open_page("/?view=index", server=server)
    page.wait_for_selector(".stats dd")
    facts = dict(
        zip(page.locator(".stats dt").all_inner_texts(), page.locator(".stats dd").all_inner_texts(), strict=True)
    )
    assert facts["Pictures"].split("\n") == ["6", "6 JPEG"]
    assert facts["Model"].startswith("builtin-224")
    assert facts["Cannot be used"].startswith("1")
    assert page.locator(".folder-list").inner_text() == str(folder)
    page.get_by_text("1 file that cannot be used").click()
    assert str(folder / "broken.jpg") in page.locator(".failures li").inner_text()
    assert page.locator(".failures li span").inner_text(), "and why"


def test_a_run_finds_new_pictures_and_the_page_shows_them(
    open_page: Callable[..., Page], server: Running, folder: Path
) -> None:
    page = open_page(server=server)
    wait_for_pictures(page)
    assert count_line(page).startswith("6 pictures")
    for source in SOURCES[6:9]:
        shutil.copy(source, folder)
    (folder / "broken.jpg").unlink()
    page.get_by_role("link", name="Indexing").click()
    start(page)
    done(page, "3 added")
    until(page, "() => document.querySelector('.stats dd').firstChild.textContent === '9'")
    assert page.locator(".failures li").count() == 0
    page.get_by_role("link", name="Pictures", exact=True).click()
    until(page, "() => document.getElementById('count').textContent.startsWith('9 pictures')")
    until(page, "() => document.querySelector('.filters-done').textContent === 'Show 9 pictures'")


def test_a_run_can_be_stopped_and_shows_in_the_header(
    open_page: Callable[..., Page], server: Running, folder: Path
) -> None:
    for number in range(40):  # enough that the run is still on when it is stopped
        for source in SOURCES:
            (folder / str(number)).mkdir(exist_ok=True)
            (folder / str(number) / source.name).write_bytes(source.read_bytes() + b"%d" % number)
    page = open_page("/?view=index", server=server)
    start(page)
    page.wait_for_selector("#indexing-mark")
    page.get_by_role("link", name="Pictures", exact=True).click()
    assert page.locator("#indexing-mark").is_visible(), "wherever one is"
    page.locator("#indexing-mark").click()
    page.get_by_role("button", name="Stop").click()
    done(page, "Stopped before the end")
    page.wait_for_selector("#indexing-mark", state="hidden")
    assert page.get_by_role("button", name="Look for new pictures").is_enabled()


def test_an_error_is_told_in_the_servers_words(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page("/?view=index", server=server)
    page.watch.expected.append("409")  # type: ignore[attr-defined]
    page.wait_for_selector(".folder-list li")
    with Gallery(Path(page.locator(".folder-list").inner_text()).parent / "gallery").writer():
        start(page)
        page.wait_for_selector(".toast.error")
    assert page.locator(".toast.error p").count() == 2
    start(page)
    done(page, "Nothing new")


def test_no_folder_is_not_every_folder(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page("/?view=index", server=server)
    page.locator(".folder-list input").uncheck()
    start(page)
    page.wait_for_selector(".toast:has-text('Choose a folder first')")
    assert not [url for url in page.watch.asked if url.endswith("/index/events")]  # type: ignore[attr-defined]


def test_the_view_has_no_serious_faults_for_assistive_technology(
    open_page: Callable[..., Page], server: Running
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page("/?view=index", server=server)
    page.get_by_text("1 file that cannot be used").click()
    found = axe.Axe().run(page, context="#indexing")
    bad = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in bad] == []
