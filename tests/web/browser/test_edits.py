"""The page changes labels and albums of one picture or many, takes changes back, and follows the gallery."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="needs playwright")

from retrieval.encoders.registry import load_encoder
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import ImageLabels, labels_of
from tests.conftest import EXAMPLES
from tests.web.browser.conftest import PATIENCE_S, box_of, count_line, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route


@pytest.fixture
def server(own_gallery: Gallery, start_server: Callable[..., Running]) -> Running:
    """A server of a gallery to write to. It outlives the page, which listens to its events."""
    return start_server(own_gallery.path)


@pytest.fixture
def page(open_page: Callable[..., Page], server: Running) -> Page:
    page = open_page(server=server)
    wait_for_pictures(page)
    return page


def labels(gallery: Gallery, *ids: int) -> list[ImageLabels]:
    with gallery.reader() as reader:
        return labels_of(reader, ids or reader.select(Filter()).tolist())


def first_id(page: Page, rank: int = 1) -> int:
    return int(str(page.get_attribute(f".cell[data-rank='{rank}']", "data-id")))


def told(page: Page, text: str) -> None:
    page.wait_for_selector(f".toast:has-text('{text}')")


def until_held(page: Page, held: list[Route], count: int) -> None:
    """Wait until so many requests were held back."""
    end = time.monotonic() + PATIENCE_S
    while len(held) < count:
        assert time.monotonic() < end, f"only {len(held)} of {count} requests came"
        page.wait_for_timeout(20)


def test_keys_rate_and_undo_survives_a_reload(page: Page, own_gallery: Gallery) -> None:
    id_ = first_id(page)
    page.focus(".cell[data-rank='1'] a.tile")
    page.keyboard.press("4")
    told(page, "Rated ★★★★")
    page.keyboard.press("b")
    told(page, "Added to favourites")
    (said,) = labels(own_gallery, id_)
    assert (said.rating, said.is_favourite) == (4, True)
    page.reload()
    wait_for_pictures(page)
    page.keyboard.press("Control+z")
    told(page, "Undone")
    until(page, "() => document.querySelectorAll('.toast').length > 0")
    page.keyboard.press("Control+z")
    until(page, "() => document.querySelectorAll('.toast').length > 1")
    (said,) = labels(own_gallery, id_)
    assert (said.rating, said.is_favourite) == (None, False)
    page.keyboard.press("Control+Shift+z")
    told(page, "Made again")
    assert labels(own_gallery, id_)[0].rating == 4


def test_what_others_changed_since_is_told_and_kept(page: Page, own_gallery: Gallery) -> None:
    id_ = first_id(page)
    page.focus(".cell[data-rank='1'] a.tile")
    page.keyboard.press("4")
    told(page, "Rated")
    edit_labels(own_gallery, [id_], LabelEdit(rating=1))
    page.click(".toast button.button")
    told(page, "1 picture was changed since and stays as it is")
    assert labels(own_gallery, id_)[0].rating == 1


def test_a_change_elsewhere_does_not_make_a_new_question_keep_the_place(page: Page, own_gallery: Gallery) -> None:
    held: list[Route] = []
    page.route(
        "**/api/v1/search?*", lambda route: held.append(route) if "q=flower" in route.request.url else route.continue_()
    )
    page.focus("a.tile:not([tabindex='-1'])")
    page.keyboard.press("End")
    until(page, "() => scrollY > 0")
    page.fill("#q", "flower")
    until_held(page, held, 1)
    edit_labels(own_gallery, [labels(own_gallery)[0].image.id], LabelEdit(rating=3))
    until_held(page, held, 2)  # the page has heard of it, and asks anew before it has an answer
    held[1].continue_()
    wait_for_pictures(page)
    assert page.evaluate("scrollY") == 0, "at its first pictures"


def test_all_results_are_tagged_and_put_into_an_album(page: Page, own_gallery: Gallery) -> None:
    total = len(labels(own_gallery))
    page.keyboard.press("Control+a")
    page.wait_for_selector(f".selection-told:has-text('{total} selected')")
    bar = box_of(page.locator("#selection-bar"))
    assert bar["x"] >= 0 and bar["x"] + bar["width"] <= 1280
    actions = "document.querySelector('.selection-actions')"
    assert page.evaluate(f"{actions}.scrollWidth <= {actions}.clientWidth"), "nothing of it is cut off"
    page.click("#selection-bar button:has-text('Edit')")
    page.fill(".edit-many [placeholder='Add a tag']", "Holiday")
    page.keyboard.press("Enter")
    told(page, f"Tag “Holiday” added to {total} pictures")
    page.fill(".edit-many [placeholder='Add to an album']", "Everything")
    page.keyboard.press("Enter")
    told(page, "Album “Everything” made")
    found = labels(own_gallery)
    assert all({"holiday"} <= {tag.text for tag in each.tags} and each.albums == ["Everything"] for each in found)
    page.click("#views a[data-view='albums']")
    page.click(".album-link:has-text('Everything')")
    page.wait_for_selector(".chip:has-text('Everything')")
    wait_for_pictures(page)
    assert str(total) in count_line(page)


def test_fields_in_the_viewer(page: Page, own_gallery: Gallery) -> None:
    id_ = first_id(page)
    page.click(".cell[data-rank='1'] a.tile")
    page.wait_for_selector("#viewer[open]")
    page.keyboard.press("i")
    page.fill(".edit-caption", "A fine day.")
    page.keyboard.press("Control+Enter")
    told(page, "Caption saved")
    page.fill(".details [placeholder='Add a tag']", "sunny")
    page.keyboard.press("Enter")
    page.wait_for_selector(".edit-tag:has-text('sunny')")
    page.click(".details .star[aria-label='5 stars']")
    page.wait_for_selector(".details .star[aria-label='5 stars'][aria-pressed='true']")
    page.focus("#viewer .stage")
    page.keyboard.press("X")
    page.wait_for_selector(".details .reject[aria-pressed='true']")
    (said,) = labels(own_gallery, id_)
    assert ([c.text for c in said.captions], {t.text for t in said.tags}, said.rating) == (
        ["A fine day."],
        {"sunny"},
        -1,
    )
    page.click(".edit-off")
    told(page, "Tag “sunny” removed")
    assert not labels(own_gallery, id_)[0].tags


def test_hidden_pictures_go_and_come_back(page: Page, own_gallery: Gallery) -> None:
    total = len(labels(own_gallery))
    page.focus(".cell[data-rank='1'] a.tile")
    page.keyboard.press("h")
    told(page, "Picture hidden")
    until(page, "n => document.getElementById('count').textContent.startsWith(String(n))", argument=total - 1)
    page.keyboard.press("Control+z")
    until(page, "n => document.getElementById('count').textContent.startsWith(String(n))", argument=total)


def test_two_tabs_and_the_command_line_agree(
    page: Page, open_page: Callable[..., Page], server: Running, own_gallery: Gallery
) -> None:
    other = open_page("/?tag=elsewhere", server=server)
    other.wait_for_selector("#message:not([hidden])")
    other.watch.expected.append("400")  # type: ignore[attr-defined]
    until(page, "() => document.querySelectorAll('.cell img.loaded').length > 3")
    page.click(".cell[data-rank='2'] .pick", force=True)
    page.evaluate("scrollTo(0, 600)")
    before = page.evaluate("scrollY")
    ids = [first_id(page, rank) for rank in (1, 2)]
    edit_labels(own_gallery, ids, LabelEdit(tags=("elsewhere",)))
    until(other, "() => document.getElementById('count').textContent.startsWith('2 pictures')")
    page.wait_for_selector(".facet-name:has-text('elsewhere')")
    assert page.evaluate("scrollY") == before and "1 selected" in page.inner_text(".selection-told")


def test_a_rectangle_and_shift_select(page: Page) -> None:
    one, three = (box_of(page.locator(f".cell[data-rank='{rank}']")) for rank in (1, 3))
    page.keyboard.down("Shift")
    page.wait_for_selector(".band", state="attached")
    page.mouse.move(one["x"] + 60, one["y"] + 60)
    page.mouse.down()
    page.mouse.move(three["x"] + 30, three["y"] + 40, steps=5)
    page.wait_for_selector(".selection-told:has-text('3 selected')")
    page.mouse.up()
    page.keyboard.up("Shift")
    assert not page.query_selector("#viewer[open]")
    page.keyboard.press("Escape")
    page.click(".cell[data-rank='2'] .pick", force=True)
    page.click(".cell[data-rank='5'] a.tile", modifiers=["Shift"])
    page.wait_for_selector(".selection-told:has-text('4 selected')")
    assert len(page.context.pages) == 1, "no window was opened"


@pytest.fixture
def doubled(tmp_path: Path, start_server: Callable[..., Running]) -> tuple[Running, Path]:
    """A server of four pictures, one of which is there twice."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("animals/dog.jpg", "flowers/rose.jpg"):
        shutil.copy(EXAMPLES / name, photos)
    shutil.copy(photos / "dog.jpg", photos / "dog-copy.jpg")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(photos)
    return start_server(gallery.path), photos


def test_duplicates_are_resolved_with_another_keeper_and_back(
    open_page: Callable[..., Page], doubled: tuple[Running, Path]
) -> None:
    server, photos = doubled
    page = open_page("/?view=duplicates", server=server)
    kept = page.inner_text(".member.keep .member-name")
    page.click("button:has-text('Keep this one instead')")
    page.wait_for_selector(f".member-choice:has-text('{kept}')")
    page.click("button:has-text('Move 1 copy to the trash')")
    told(page, "1 copy moved to the trash")
    assert not (photos / kept).exists() and len(list(photos.iterdir())) == 2
    page.click(".toast button.button")
    told(page, "Undone")
    assert (photos / kept).exists() and len(list(photos.iterdir())) == 3


def test_a_file_that_went_is_explained_and_not_selected(
    open_page: Callable[..., Page], doubled: tuple[Running, Path]
) -> None:
    server, photos = doubled

    def remove_first(route: Any) -> None:
        (photos / "rose.jpg").unlink(missing_ok=True)  # after the list was made, before its small picture is
        route.continue_()

    page = open_page("/?view=duplicates", server=server)
    page.watch.expected.append("404")  # type: ignore[attr-defined]
    page.route("**/thumbnail*", remove_first)
    page.click("#views a[data-view='grid']")
    page.wait_for_selector(".absent:has-text('File missing')")
    page.locator(".is-absent .pick").dispatch_event("click")
    page.keyboard.press("Control+a")
    page.wait_for_selector(".selection-told:has-text('2 selected')")


def test_a_read_only_page_offers_no_change(
    own_gallery: Gallery, start_server: Callable[..., Running], open_page: Callable[..., Page]
) -> None:
    server = start_server(own_gallery.path, "--read-only")
    page = open_page(server=server)
    wait_for_pictures(page)
    page.focus(".cell[data-rank='1'] a.tile")
    page.keyboard.press("4")
    page.keyboard.press("X")
    page.keyboard.press("x")
    page.wait_for_selector("#selection-bar:not([hidden])")
    assert not page.is_visible("#selection-bar button:has-text('Edit')") and not page.query_selector(".toast")
    page.click("#views a[data-view='albums']")
    page.wait_for_selector("#albums .panel-lead:not(:empty)")
    assert not page.is_visible("#albums .edit-form")
    page.click("#views a[data-view='index']")
    page.wait_for_selector("#indexing .stats dt")
    assert not page.is_visible("#indexing .button.primary") and not page.is_visible("#indexing .folders")
    assert labels(own_gallery)[0].rating is None
