"""axe-core over every state of the page, in both themes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe

from tests.web.browser.albums import make_album, make_doubles
from tests.web.browser.conftest import settled, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SERIOUS = ("serious", "critical")


def findings(page: Page) -> list[Any]:
    """Serious findings, each with the elements that it is about."""
    report = Axe().run(page).response
    return [
        (one["id"], one["help"], [node["target"] for node in one["nodes"]][:5], one["nodes"][0].get("failureSummary"))
        for one in report["violations"]
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_results(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page("/?q=a+bird&more=1&less=2&orientation=landscape", color_scheme=scheme)
    wait_for_pictures(page)
    page.hover(".cell[data-rank='1']")
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_viewer_with_details(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page("/?open=3", color_scheme=scheme)
    wait_for_pictures(page)
    until(page, "() => document.querySelector('#viewer.sharp')")
    page.keyboard.press("i")
    until(page, "() => document.querySelector('.details').textContent.includes('Folder')")
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_help_and_nothing_found(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page("/?min_width=5000", color_scheme=scheme)
    until(page, "() => !document.querySelector('#message').hidden")
    assert findings(page) == []
    page.click("#help-button")
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["albums", "duplicates", "index"])
def test_views(open_page: Callable[..., Page], view: str, scheme: str) -> None:
    page = open_page(f"/?view={view}", color_scheme=scheme)
    page.wait_for_selector("#main h1:visible")
    settled(page)
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_the_search_box_offers(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page("/?orientation=landscape", color_scheme=scheme)
    wait_for_pictures(page)
    page.click("#q")
    page.wait_for_selector("#suggestions [role=option]")
    page.keyboard.press("ArrowDown")
    assert findings(page) == []
    page.click("#suggestions [role=option]:has-text('Save this search')")
    assert findings(page) == []


def test_a_first_run(open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "allowed" / "photos").mkdir(parents=True)
    (tmp_path / "place").mkdir()
    server = start_server(tmp_path / "place" / "gallery", "--allow-folder", str(tmp_path / "allowed"))
    page = open_page(server=server)
    page.watch.expected.append("503")  # type: ignore[attr-defined]
    page.wait_for_selector(".picker-folder")
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_large_map(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path, scheme: str
) -> None:
    server = start_server(make_album(tmp_path).path)
    page = open_page(server=server, color_scheme=scheme)
    wait_for_pictures(page)
    page.get_by_role("button", name="Larger map").click()
    page.wait_for_selector(".map-dialog .dot.picture")
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_pictures_side_by_side(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path, scheme: str
) -> None:
    make_doubles(tmp_path)
    page = open_page("/?view=duplicates", server=start_server(tmp_path / "gallery"), color_scheme=scheme)
    page.locator(".group .member").first.click()
    page.wait_for_selector(".compare[open] .pair-facts td")
    assert findings(page) == []


def test_phone(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird&more=1", width=390, height=844, has_touch=True, is_mobile=True)
    wait_for_pictures(page)
    assert findings(page) == []
    page.tap("#filters-button")
    settled(page)
    assert findings(page) == []
