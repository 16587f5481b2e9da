"""The view of duplicates: groups, two pictures compared, and that looking is all it does."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.web.browser.albums import make_doubles
from tests.web.browser.conftest import box_of, until
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("doubles")
    make_doubles(place)
    return place


@pytest.fixture(scope="module")
def doubles(place: Path, start_server: Callable[..., Running]) -> Running:
    return start_server(place / "gallery")


@pytest.fixture
def view(open_page: Callable[..., Page], doubles: Running) -> Page:
    page = open_page("/?view=duplicates", server=doubles, permissions=["clipboard-read", "clipboard-write"])
    page.wait_for_selector(".group")
    return page


def shown(page: Page) -> list[str]:
    """What the comparison shows, by the names of the pictures."""
    return [img.get_attribute("alt") or "" for img in page.locator(".compare .half img").all()]


def transforms(page: Page) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('.compare .half img')].map(img => img.style.transform)"))


def brightest(page: Page) -> int:
    """The largest value of a pixel in the middle of what is compared."""
    box = box_of(page.locator(".pair"))
    clip = {
        "x": box["x"] + box["width"] / 4,
        "y": box["y"] + 20,
        "width": box["width"] / 2,
        "height": box["height"] - 90,
    }
    return int(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L").getextrema()[1])  # type: ignore[arg-type]


def test_groups_are_told_apart_and_keepers_marked(view: Page) -> None:
    assert view.locator(".group").count() == 3
    assert view.locator(".group .kind").all_inner_texts() == ["Same bytes", "Same bytes", "Same picture"]
    assert view.locator(".member.keep").count() == 3
    smaller = view.locator(".group").nth(2).locator(".member")
    assert "Keep" in smaller.nth(0).inner_text()
    assert smaller.nth(1).locator(".member-name").inner_text().startswith("small ")
    assert smaller.nth(1).locator(".less").count() == 1, "fewer pixels are marked"
    assert view.locator(".panel-lead").inner_text().startswith("3 pictures in 3 groups")


def test_one_kind_can_be_looked_at(view: Page) -> None:
    view.get_by_role("button", name="Same picture 1").click()
    until(view, "() => document.querySelectorAll('.group').length === 1")
    assert view.locator(".group .kind").all_inner_texts() == ["Same picture"]
    assert view.get_by_role("button", name="All 3").is_visible()


def test_nothing_is_moved_by_looking_and_no_command_is_shown(view: Page, place: Path) -> None:
    before = sorted(path.name for path in (place / "photos").iterdir())
    assert view.get_by_text("Nothing is deleted here.").is_visible()
    assert "photoseek " not in view.inner_text("#duplicates") and view.locator("#duplicates code").count() == 0
    assert sorted(path.name for path in (place / "photos").iterdir()) == before


def test_two_pictures_side_by_side(view: Page) -> None:
    view.locator(".group").nth(2).locator(".member").nth(1).click()
    view.wait_for_selector(".compare[open]")
    keeper, other = shown(view)
    assert other == f"small {Path(keeper).stem}.png"
    table = view.locator(".pair-facts")
    assert "×" in table.locator("tr", has_text="Dimensions").inner_text()
    differing = table.locator("tr.differs th").all_inner_texts()
    assert {"Name", "Dimensions", "File size", "Format"} <= set(differing)
    assert "Folder" not in differing
    assert "bits differ" in table.inner_text()
    view.keyboard.press("ArrowLeft")
    until(view, "() => document.querySelector('.compare-place').textContent.startsWith('2 of 3')")
    assert "byte for byte the same" in table.inner_text()
    view.keyboard.press("Escape")
    view.wait_for_selector(".compare", state="hidden")


def test_both_are_zoomed_and_moved_together(view: Page) -> None:
    view.locator(".member").nth(1).click()
    view.wait_for_selector(".compare[open]")
    box = box_of(view.locator(".half").nth(1))
    view.mouse.move(box["x"] + 60, box["y"] + 60)
    view.mouse.wheel(0, -400)
    until(view, "() => document.querySelector('.compare .half img').style.transform.includes('scale(2')")
    zoomed = transforms(view)
    assert zoomed[0] == zoomed[1]
    view.mouse.down()
    view.mouse.move(box["x"] + 100, box["y"] + 80, steps=3)
    view.mouse.up()
    moved = transforms(view)
    assert moved[0] == moved[1] != zoomed[0]
    view.keyboard.press("0")
    assert transforms(view) == ["translate(0%, 0%) scale(1)"] * 2


def test_by_turns_and_their_difference(view: Page) -> None:
    view.locator(".member").nth(1).click()
    view.wait_for_selector(".compare[open]")
    until(view, "() => [...document.querySelectorAll('.compare img')].every(img => img.complete && img.naturalWidth)")
    assert brightest(view) > 100
    view.keyboard.press("2")
    seen = "() => [...document.querySelectorAll('.compare .half img')].map(img => getComputedStyle(img).visibility)"
    assert view.evaluate(seen) == ["visible", "hidden"]
    view.keyboard.press(" ")
    assert view.evaluate(seen) == ["hidden", "visible"]
    view.keyboard.press("3")
    until(view, "() => [...document.querySelectorAll('.compare img')].every(img => img.complete && img.naturalWidth)")
    assert brightest(view) < 10, "the same bytes leave nothing"
    view.keyboard.press("d")
    assert len(shown(view)) == 2
    assert brightest(view) > 100


def test_no_duplicates_is_an_answer(open_page: Callable[..., Page]) -> None:
    page = open_page("/?view=duplicates")
    page.wait_for_selector(".panel-lead:has-text('No duplicates among 120 pictures.')")
    assert page.locator(".advice").is_hidden()


def test_the_view_has_no_serious_faults_for_assistive_technology(view: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for context in ("#duplicates", ".compare"):
        if context == ".compare":
            view.locator(".member").nth(1).click()
            view.wait_for_selector(".compare[open]")
        found = axe.Axe().run(view, context=context)
        bad = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in bad] == []
