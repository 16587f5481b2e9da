"""Markup in whatever a stranger may have written, or a file may say of itself, is text on the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from retrieval.catalog.persons import all_persons
from retrieval.catalog.texts import PictureText, TextLine, unread, write_texts
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.albums import create_album
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.people import name_person
from tests.web.browser.conftest import settled, until, wait_for_pictures
from tests.web.conftest import Running
from tests.web.people import gallery_of_people

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

MAKE, MODEL, EXIF, LENS, TAKEN = 0x010F, 0x0110, 0x8769, 0xA434, 0x9003
ADDED = """() => [...document.querySelectorAll('[onerror], [onload], img.hurt, script:not([src]), iframe')]
  .map(one => one.outerHTML)"""


def evil(what: str) -> str:
    """A text that would add an element to the page, were it taken for markup; a file name has no slash."""
    return f"""{what}"'><img class=hurt src=hurt onerror=alert(1)><script>alert(1)<b>&lt;{{{{x}}}}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    """People, and a folder of two pictures that are the same; each text that can be given is given."""
    home = tmp_path_factory.mktemp("hostile")
    gallery = gallery_of_people(home)
    folder = home / "photos" / evil("folder")
    folder.mkdir()
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = evil("make"), evil("model")
    exif.get_ifd(EXIF).update({LENS: evil("lens"), TAKEN: "2020:05:05 10:00:00"})
    Image.effect_noise((300, 200), 80).convert("RGB").save(folder / f"{evil('one')}.jpg", exif=exif)
    shutil.copy(folder / f"{evil('one')}.jpg", folder / f"{evil('two')}.jpg")
    Indexer(gallery, load_encoder("builtin-224")).run(home / "photos")
    _labelled(gallery)
    return start_server(gallery.path)


def _labelled(gallery: Gallery) -> None:
    with gallery.reader() as reader:
        records = {record.id: record for record in reader.records(list(range(1, 100)))}
        persons = [person.id for person in all_persons(reader)]
        waiting = unread(reader, "m1")
    named = [image_id for image_id, record in records.items() if "hurt" in record.path]
    assert len(named) == 2
    edit_labels(gallery, list(records), LabelEdit(tags=(evil("tag"),), caption=evil("caption"), rating=5))
    create_album(gallery, evil("album"), named)
    for person in persons:
        name_person(gallery, str(person), evil(f"person {person}"))
    corners = (0.2, 0.1, 0.5, 0.1, 0.5, 0.3, 0.2, 0.3)
    text = evil("words")
    line = TextLine(text, 0.9, corners, tuple((at + 1) / len(text) for at in range(len(text))))
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        write_texts(transaction, [(each.content_hash, PictureText("m1", "2024-05-01", (line,))) for each in waiting])


def nothing_was_added(page: Page) -> None:
    """What the page met besides (a request for the picture, a breach of its policy) fails the test at its end."""
    assert page.evaluate(ADDED) == []


def says(page: Page, selector: str, text: str) -> None:
    """Wait until an element has exactly this among its text, or in a field."""
    script = """([selector, text]) => [...document.querySelectorAll(selector)].some(one =>
      [one.textContent, ...[...one.querySelectorAll("input, textarea")].map(field => field.value)]
        .some(said => said.includes(text)))"""
    until(page, script, argument=[selector, text])


def test_in_the_list_the_filters_and_the_viewer(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page("/?text=words&sort=date", server=server)
    wait_for_pictures(page)
    says(page, "#filters", evil("tag"))
    says(page, "#filters", evil("folder"))
    nothing_was_added(page)
    page.click(".cell[data-rank='1'] a.tile")
    until(page, "() => document.querySelector('#viewer').open && document.querySelector('#viewer.sharp')")
    says(page, "#viewer-name", evil("one") if evil("one") in page.inner_text("#viewer-name") else evil("two"))
    page.keyboard.press("i")
    for what in ("tag", "caption", "words", "folder", "album", "lens"):
        says(page, "#viewer .details", evil(what))
    says(page, "#viewer .details", evil("make")[:40])  # names of cameras have a length
    nothing_was_added(page)


def test_in_suggestions_and_chips(open_page: Callable[..., Page], server: Running) -> None:
    page = open_page(server=server)
    wait_for_pictures(page)
    for what in ("tag", "person", "album", "one", "make"):
        page.fill("#q", what)
        says(page, "#suggestions", "onerror=alert(1)")
        nothing_was_added(page)
    page.fill("#q", f'a dog -"{evil("x").replace(chr(34), "")}"')
    page.keyboard.press("Enter")
    settled(page)
    nothing_was_added(page)


@pytest.mark.parametrize(
    ("view", "what"), [("albums", "album"), ("people", "person"), ("duplicates", "one"), ("index", "folder")]
)
def test_in_the_other_views(open_page: Callable[..., Page], server: Running, view: str, what: str) -> None:
    page = open_page(f"/?view={view}", server=server)
    if view == "index":
        page.wait_for_selector(f"#views a[data-view='{view}']")
    else:
        until(
            page,
            "what => { const text = document.body.innerHTML; return text.includes('&lt;img class=hurt')"
            " && document.body.textContent.includes(what); }",
            argument="hurt",
        )
    settled(page)
    nothing_was_added(page)


def test_in_the_address(open_page: Callable[..., Page], server: Running) -> None:
    """What a link of another site may contain."""
    given = "%22%3E%3Cimg%20class%3Dhurt%20src%3Dhurt%20onerror%3Dalert(1)%3E"
    page = open_page(f"/?q={given}&tag={given}&folder={given}&camera={given}&album={given}&open={given}", server=server)
    page.watch.expected.append("/api/v1/")  # type: ignore[attr-defined]  # no such album, no such picture
    page.wait_for_selector("#q")
    settled(page)
    nothing_was_added(page)
