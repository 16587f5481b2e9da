"""Pictures that are selected: by mouse and keys, while the wall of pictures scrolls, and what is done with them."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.browser.conftest import box_of, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICKED = "() => [...document.querySelectorAll('.cell.picked')].map(cell => Number(cell.dataset.rank))"


def pick(page: Page, rank: int, **more: Any) -> None:
    page.locator(f".cell[data-rank='{rank}'] .pick").click(force=True, **more)


def told(page: Page, count: int) -> None:
    """Wait until the bar tells so many."""
    until(page, "n => document.querySelector('.selection-told b')?.textContent === String(n)", argument=count)


def hits(page: Page, count: int) -> list[dict[str, Any]]:
    origin = page.watch.origin  # type: ignore[attr-defined]
    return list(page.request.get(f"{origin}/api/v1/search?k={count}").json()["hits"])


def saved(page: Page, button: str) -> Path:
    with page.expect_download() as download:
        page.locator("#selection-bar").get_by_role("button", name=button).click()
    return Path(download.value.path())


def test_a_range_is_selected_and_cleared(page: Page) -> None:
    assert page.locator("#selection-bar").is_hidden()
    pick(page, 2)
    told(page, 1)
    pick(page, 5, modifiers=["Shift"])
    told(page, 4)
    assert page.evaluate(PICKED) == [2, 3, 4, 5]
    total = sum(hit["bytes"] for hit in hits(page, 5)[1:])
    assert page.locator(".selection-size").inner_text() == f"{total / 1000:.1f} kB"
    pick(page, 3)
    told(page, 3)
    assert page.evaluate(PICKED) == [2, 4, 5]
    page.locator("#selection-bar").get_by_role("button", name="Clear selection").click()
    page.wait_for_selector("#selection-bar", state="hidden")
    assert page.evaluate(PICKED) == []


def test_the_selection_outlives_its_tiles(open_page: Callable[..., Page]) -> None:
    page = open_page(width=1000, height=600)
    wait_for_pictures(page)
    pick(page, 1)
    told(page, 1)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    until(page, "() => !document.querySelector('.cell[data-rank=\"1\"]') || document.activeElement.closest('.cell')")
    pick(page, 120, modifiers=["Shift"])  # from a picture that is not in the document any more
    told(page, 120)
    pick(page, 120)
    told(page, 119)
    page.evaluate("scrollTo(0, 0)")
    until(page, "() => document.querySelector('.cell[data-rank=\"1\"].picked .pick')?.checked")


def test_keys_select(page: Page) -> None:
    page.locator(".cell[data-rank='1'] a.tile").focus()
    page.keyboard.press("x")
    told(page, 1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    told(page, 2)
    page.keyboard.press("x")
    told(page, 1)
    page.keyboard.press("Control+a")
    told(page, 120)
    page.keyboard.press("Escape")
    page.wait_for_selector("#selection-bar", state="hidden")
    page.locator("#q").fill("no x here")
    page.locator("#q").press("x")
    page.locator("#q").press("Control+a")
    assert page.locator("#selection-bar").is_hidden(), "keys belong to the field that is typed in"


def test_paths_are_copied(open_page: Callable[..., Page]) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    wait_for_pictures(page)
    pick(page, 3)
    pick(page, 1)
    told(page, 2)
    page.locator("#selection-bar").get_by_role("button", name="Copy paths").click()
    page.wait_for_selector(".toast:has-text('2 paths copied')")
    third, first = hits(page, 3)[2], hits(page, 3)[0]
    assert page.evaluate("navigator.clipboard.readText()") == f"{third['path']}\n{first['path']}"


def test_paths_are_copied_without_the_clipboard_api(open_page: Callable[..., Page]) -> None:
    page = open_page(permissions=["clipboard-read"])
    wait_for_pictures(page)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')) }")
    pick(page, 1)
    told(page, 1)
    page.locator("#selection-bar").get_by_role("button", name="Copy paths").click()
    page.wait_for_selector(".toast:has-text('1 path copied')")
    assert page.evaluate("navigator.clipboard.readText()") == hits(page, 1)[0]["path"]


def test_the_selection_as_a_table_and_the_whole_list_as_one(page: Page) -> None:
    pick(page, 2)
    pick(page, 4)
    told(page, 2)
    second, fourth = hits(page, 4)[1], hits(page, 4)[3]
    rows = list(csv.DictReader(io.StringIO(saved(page, "Export CSV").read_text("utf-8"))))
    assert [row["path"] for row in rows] == [second["path"], fourth["path"]]
    with page.expect_download() as download:
        page.get_by_role("link", name="Export this list as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert [int(row["id"]) for row in rows] == [hit["id"] for hit in hits(page, 200)]


def test_originals_come_as_a_zip_file(page: Page) -> None:
    pick(page, 1)
    pick(page, 2)
    told(page, 2)
    with zipfile.ZipFile(saved(page, "Download")) as archive:
        packed = sorted(archive.read(name) for name in archive.namelist())
    assert packed == sorted(Path(hit["path"]).read_bytes() for hit in hits(page, 2))
    page.wait_for_selector(".toast:has-text('2 pictures downloaded')")


def test_more_like_the_selected_ones(page: Page) -> None:
    ids = [str(hit["id"]) for hit in hits(page, 2)]
    pick(page, 1)
    pick(page, 2)
    told(page, 2)
    page.get_by_role("button", name="More like these").click()
    until(page, "ids => new URLSearchParams(location.search).getAll('more').join() === ids", argument=",".join(ids))
    page.wait_for_selector("#selection-bar", state="hidden")
    until(page, "() => document.querySelectorAll('.chip.more').length === 2")


def test_a_failed_download_is_told(page: Page) -> None:
    page.watch.expected.append("413")  # type: ignore[attr-defined]
    problem = '{"title": "90 GB are too large for one archive", "detail": "choose fewer pictures", "status": 413}'
    page.route(
        "**/api/v1/download",
        lambda route: route.fulfill(status=413, body=problem, content_type="application/problem+json"),
    )
    pick(page, 1)
    told(page, 1)
    page.locator("#selection-bar").get_by_role("button", name="Download").click()
    toast = page.locator(".toast.error")
    toast.wait_for()
    assert toast.locator("p").all_inner_texts() == ["90 GB are too large for one archive", "choose fewer pictures"]
    assert page.locator("#selection-bar").get_by_role("button", name="Download").is_enabled()


def test_on_a_phone_every_action_is_in_reach(open_page: Callable[..., Page]) -> None:
    page = open_page(width=360, height=740, has_touch=True)
    wait_for_pictures(page)
    pick(page, 1)
    told(page, 1)
    for button in page.locator("#selection-bar button").all():
        box = box_of(button)
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert min(box["width"], box["height"]) >= 40
