"""People on the page: the view of them, naming, merging and hiding in place, and the faces in the viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="needs playwright")

from retrieval.catalog.faces import faces_in
from retrieval.catalog.persons import all_persons
from retrieval.errors import QueryError
from retrieval.gallery import Gallery
from retrieval.labels.people import name_person, undo_people
from tests.web.browser.conftest import box_of, count_line, settled, until, wait_for_pictures
from tests.web.conftest import Running
from tests.web.people import BOXES, SIZE, gallery_of_people

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

ANSWERED = "() => document.body.classList.contains('has-people')"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return gallery_of_people(tmp_path_factory.mktemp("people"))


@pytest.fixture
def gallery(made: Gallery) -> Iterator[Gallery]:
    """The gallery of the server, in which nobody has a name; every edit of a test is undone after it."""
    yield made
    with suppress(QueryError):
        while True:
            undo_people(made)
    assert persons(made) == [(None, 4), (None, 3)]


@pytest.fixture(scope="module")
def server(made: Gallery, start_server: Callable[..., Running]) -> Running:
    return start_server(made.path)


@pytest.fixture
def page(open_page: Callable[..., Page], server: Running, gallery: Gallery) -> Page:
    page = open_page("/?view=people", server=server)
    page.wait_for_selector(".person img")
    return page


def persons(gallery: Gallery) -> list[tuple[str | None, int]]:
    with gallery.reader() as reader:
        return [(person.name, person.pictures) for person in all_persons(reader)]


def names(page: Page) -> list[str]:
    return page.locator(".person-name").all_inner_texts()


def told(page: Page, text: str) -> None:
    page.wait_for_selector(f".toast:has-text('{text}')")


def call(page: Page, name: str, at: int = 0) -> None:
    """Name the group at this place of those without a name."""
    page.locator(".person .edit-line").nth(at).fill(name)
    page.keyboard.press("Enter")
    told(page, name)


def picture(page: Page, server: Running, open_page: Callable[..., Page], name: str, **size: int) -> Page:
    """The viewer on a picture, with its faces shown."""
    page = open_page("/?sort=name", server=server, **size)
    wait_for_pictures(page)
    until(page, ANSWERED)
    page.locator(f".cell:has(img[alt='{name}.png']) a.tile").click()
    page.wait_for_selector("#viewer.sharp")
    page.keyboard.press("w")
    page.wait_for_selector(".face")
    return page


def test_groups_are_named_in_place_and_taken_back(page: Page, gallery: Gallery) -> None:
    assert page.locator(".person").count() == 2 and names(page) == []
    call(page, "Anna Öst")
    until(page, "() => document.querySelectorAll('.person-name').length === 1")
    assert persons(gallery) == [("Anna Öst", 4), (None, 3)]
    page.get_by_role("button", name="Rename").click()
    page.keyboard.type("Anne")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('.person-name')?.textContent === 'Anne'")
    page.keyboard.press("Control+z")
    until(page, "() => document.querySelector('.person-name')?.textContent === 'Anna Öst'")
    page.get_by_role("button", name="Rename").click()
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.dataset.part") == "rename"
    page.keyboard.press("Control+z")
    until(page, "() => !document.querySelector('.person-name')")
    page.keyboard.press("Control+Shift+z")
    until(page, "() => document.querySelector('.person-name')?.textContent === 'Anna Öst'")
    assert persons(gallery) == [("Anna Öst", 4), (None, 3)]


def test_a_click_lists_the_pictures_of_a_person_or_a_group(page: Page) -> None:
    call(page, "Anna")
    until(page, "() => document.querySelectorAll('.person-name').length === 1")
    page.locator(".person-link").first.click()
    wait_for_pictures(page)
    assert count_line(page).startswith("4 pictures") and "person=Anna" in page.url
    assert "Anna" in page.inner_text(".chips")
    page.go_back()
    page.locator(".person-link").nth(1).click()
    wait_for_pictures(page)
    assert count_line(page).startswith("3 pictures") and "Group 2" in page.inner_text(".chips")


def test_several_are_one_person(page: Page, gallery: Gallery) -> None:
    call(page, "Ben", at=1)
    until(page, "() => document.querySelectorAll('.person-name').length === 1")
    for box in page.locator(".person-pick").all():
        box.check()
    assert page.inner_text(".people-bar span") == "2 selected"
    page.get_by_role("button", name="These are one person").click()
    told(page, "One person now: Ben")
    until(page, "() => document.querySelectorAll('.person').length === 1")
    assert persons(gallery) == [("Ben", 6)]
    page.locator(".toast button:has-text('Undo')").last.click()
    until(page, "() => document.querySelectorAll('.person').length === 2")
    assert persons(gallery) == [("Ben", 3), (None, 4)]
    call(page, "ben")
    until(page, "() => document.querySelectorAll('.person').length === 1")
    assert persons(gallery) == [("Ben", 6)], "the name of another one says that both are one"


def test_people_are_hidden_together_and_shown_again(page: Page, gallery: Gallery) -> None:
    for box in page.locator(".person-pick").all():
        box.check()
    page.get_by_role("button", name="Hide").click()
    told(page, "2 people hidden")
    until(page, "() => !document.querySelector('.person')")
    assert persons(gallery) == []
    page.get_by_label("Also hidden people").check()
    until(page, "() => document.querySelectorAll('.person.is-hidden').length === 2")
    page.get_by_role("button", name="Show again").first.click()
    until(page, "() => document.querySelectorAll('.person.is-hidden').length === 1")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    until(page, "() => !document.querySelector('.person.is-hidden')")
    assert len(persons(gallery)) == 2


def test_what_is_typed_stays_while_others_change_people(page: Page, gallery: Gallery) -> None:
    page.locator(".person .edit-line").first.fill("An")
    name_person(gallery, "2", "Ben")
    until(page, "() => document.querySelectorAll('.person-name').length === 1")
    assert page.locator(".person .edit-line").first.input_value() == "An"
    page.keyboard.type("na")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelectorAll('.person-name').length === 2")
    assert persons(gallery) == [("Anna", 4), ("Ben", 3)]


def test_only_a_gallery_with_faces_has_the_view(
    open_page: Callable[..., Page], server: Running, running_server: Running
) -> None:
    page = open_page("/", server=server)
    page.wait_for_selector("#views a[data-view=people]", state="visible")
    other = open_page("/", server=running_server)
    with other.expect_response("**/api/v1/people*"):
        other.reload()
    wait_for_pictures(other)
    assert not other.locator("#views a[data-view=people]").is_visible()
    other.locator(".cell[data-rank='1'] a.tile").click()
    other.wait_for_selector("#viewer.sharp")
    assert not other.locator("#viewer .who").is_visible()
    other.keyboard.press("w")
    assert other.locator(".face").count() == 0


def test_faces_are_framed_where_they_are(page: Page, server: Running, open_page: Callable[..., Page]) -> None:
    viewer = picture(page, server, open_page, "ab")
    shown = box_of(viewer.locator("#viewer img.shot"))
    scale = min(shown["width"] / SIZE[0], shown["height"] / SIZE[1])
    left = shown["x"] + (shown["width"] - SIZE[0] * scale) / 2
    top = shown["y"] + (shown["height"] - SIZE[1] * scale) / 2
    for at, (x, y, width, height) in enumerate(BOXES):
        frame = box_of(viewer.locator(".face rect").nth(at))
        assert frame["x"] == pytest.approx(left + x * SIZE[0] * scale, abs=4)
        assert frame["y"] == pytest.approx(top + y * SIZE[1] * scale, abs=4)
        assert frame["width"] == pytest.approx(width * SIZE[0] * scale, abs=8)
        assert frame["height"] == pytest.approx(height * SIZE[1] * scale, abs=8)
    viewer.keyboard.press("ArrowRight")
    until(viewer, "() => document.querySelectorAll('.face').length === 1")
    viewer.keyboard.press("w")
    assert viewer.locator(".face").count() == 0
    assert viewer.get_attribute("#viewer .who", "aria-pressed") == "false"


def test_a_face_is_named_confirmed_and_rejected(
    page: Page, server: Running, open_page: Callable[..., Page], gallery: Gallery
) -> None:
    viewer = picture(page, server, open_page, "ab")
    viewer.locator(".face").first.click()
    viewer.locator(".face-form .edit-line").fill("Anna")
    viewer.keyboard.press("Enter")
    told(viewer, "This is Anna")
    until(viewer, "() => document.querySelector('.face')?.textContent === 'Anna'")
    assert persons(gallery) == [("Anna", 4), (None, 3)]
    viewer.locator(".face").first.click()
    viewer.get_by_role("button", name="Yes, this is Anna").click()
    viewer.wait_for_selector(".face.sure")
    viewer.locator(".face").first.click()
    assert not viewer.get_by_role("button", name="Yes, this is Anna").is_visible()
    viewer.get_by_role("button", name="Not Anna").click()
    until(viewer, "() => document.querySelector('.face')?.textContent === 'Who?'")
    assert persons(gallery) == [("Anna", 3), (None, 3)]
    viewer.keyboard.press("Control+z")
    viewer.wait_for_selector(".face.sure")
    viewer.keyboard.press("Control+z")
    viewer.keyboard.press("Control+z")
    until(viewer, "() => document.querySelectorAll('.face').length === 2 && !document.querySelector('.face.sure')")
    until(viewer, "() => document.querySelector('.face')?.textContent === 'Who?'")
    assert persons(gallery) == [(None, 4), (None, 3)]


def test_faces_by_the_keyboard(page: Page, server: Running, open_page: Callable[..., Page], gallery: Gallery) -> None:
    viewer = picture(page, server, open_page, "b0")
    viewer.locator(".face").focus()
    viewer.keyboard.press("Enter")
    viewer.wait_for_selector(".face-form")
    viewer.keyboard.press("Escape")
    assert viewer.locator(".face-form").count() == 0 and viewer.evaluate("() => document.querySelector('#viewer').open")
    assert viewer.evaluate("() => document.activeElement.classList.contains('face')")
    viewer.keyboard.press(" ")
    viewer.keyboard.type("w Ben")
    viewer.keyboard.press("Enter")
    told(viewer, "This is w Ben")
    assert persons(gallery) == [("w Ben", 3), (None, 4)]
    viewer.locator(".face").click()
    viewer.get_by_role("button", name="All pictures of w Ben").click()
    until(viewer, "() => !document.querySelector('#viewer').open")
    settled(viewer)
    until(viewer, "() => document.getElementById('count').textContent.startsWith('3 pictures')")


def test_a_picture_without_a_face_says_so(page: Page, server: Running, open_page: Callable[..., Page]) -> None:
    viewer = open_page("/?sort=name", server=server)
    wait_for_pictures(viewer)
    until(viewer, ANSWERED)
    viewer.locator(".cell:has(img[alt='none.png']) a.tile").click()
    viewer.wait_for_selector("#viewer.sharp")
    viewer.locator("#viewer .who").click()
    told(viewer, "No face was found in this picture")


def test_a_read_only_page_shows_people_and_changes_nothing(
    open_page: Callable[..., Page], gallery: Gallery, start_server: Callable[..., Running]
) -> None:
    server = start_server(gallery.path, "--read-only")
    page = open_page("/?view=people", server=server)
    page.wait_for_selector(".person img")
    assert page.locator(".person input, .person button").count() == 0
    viewer = picture(page, server, open_page, "a0")
    viewer.locator(".face").click()
    viewer.wait_for_selector(".face-form")
    assert viewer.locator(".face-form input").count() == 0
    assert viewer.locator(".face-form .face-acts button").count() == 1


def test_on_a_narrow_screen(page: Page, server: Running, open_page: Callable[..., Page], gallery: Gallery) -> None:
    name_person(gallery, "1", "Maximiliane-Alexandra von und zu Hohenstein")
    narrow = open_page("/?view=people", server=server, width=360, height=740)
    narrow.wait_for_selector(".person img")
    narrow.locator(".person-pick").first.check()
    assert narrow.evaluate("() => document.documentElement.scrollWidth") <= 360
    viewer = picture(page, server, open_page, "ab", width=360, height=740)
    assert viewer.locator(".face text").first.text_content() == "Maximiliane-Alexandr…"
    viewer.locator(".face rect").first.click()
    form = box_of(viewer.locator(".face-form"))
    assert form["x"] >= 0 and form["x"] + form["width"] <= 360 and form["y"] >= 0
    assert viewer.evaluate("() => document.querySelector('#viewer').scrollWidth") <= 360
    info = box_of(viewer.locator(".viewer-bar > .plain").last)
    assert info["x"] + info["width"] <= 360


def test_portraits_come_from_this_server_only(page: Page, gallery: Gallery) -> None:
    with gallery.reader() as reader:
        known = {face.id for face in faces_in(reader, list(range(1, 8)))}
    asked = [url for url in page.watch.asked if "/faces/" in url]  # type: ignore[attr-defined]
    assert len(asked) == 2 and {int(url.partition("/faces/")[2].partition("?")[0]) for url in asked} <= known
