"""One afternoon with the page: a gallery of years, and what all tasks share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import ImageLabels, labels_of
from tests.conftest import EXAMPLES
from tests.web.browser.albums import Taken, save_taken
from tests.web.browser.conftest import names, settled, until
from tests.web.browser.driving import Finger, Keys

if TYPE_CHECKING:
    from playwright.sync_api import Page

PER_YEAR = 16
FIRST_YEAR = 2013
BIRDS, SEA = "kept-birds", "by-the-sea"
"""Tags that were given before: to the birds, and to a few of them and the pictures of the sea."""

LETTERS = {"albums": "a", "duplicates": "d"}
"""What leads to a view after the key "g"."""

QUERY = "() => import('/static/state.js').then(state => state.toQuery().toString())"
CLOSED = "() => !document.querySelector('#viewer').open"
PICKED = "() => [...document.querySelectorAll('.cell.picked')].map(cell => Number(cell.dataset.rank))"


def make_gallery(place: Path) -> Gallery:
    """The example photos below ``place/photos``, taken from 2013 on, sixteen a year; the dog is there twice."""
    paths = []
    sources = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    for number, source in enumerate(sources):
        at = f"{FIRST_YEAR + number // PER_YEAR}:{1 + number % 12:02d}:05 10:00:00"
        path = place / "photos" / source.parent.name / f"{source.stem}.jpg"
        paths.append(save_taken(source, path, Taken(at, f"Camera {number % 3}")))
    shutil.copy(place / "photos" / "animals" / "dog.jpg", place / "photos" / "animals" / "dog-copy.jpg")
    gallery = Gallery(place / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(place / "photos")
    birds = [path for path in paths if path.parent.name == "birds"]
    edit_labels(gallery, birds, LabelEdit(tags=(BIRDS,)))
    edit_labels(gallery, [*birds[:4], *(path for path in paths if path.parent.name == "sea")], LabelEdit(tags=(SEA,)))
    return gallery


class Afternoon:
    """Who sits there: with keys, or with a finger; the other one is None.

    Args:
        open_page: opens further pages of the same server, as the one who is sent an address does.
    """

    def __init__(self, page: Page, gallery: Gallery, hand: Keys | Finger, open_page: Callable[[str], Page]) -> None:
        self.page, self.gallery, self.hand, self.open_page = page, gallery, hand, open_page
        self.keys = hand if isinstance(hand, Keys) else None
        self.finger = hand if isinstance(hand, Finger) else None
        self.photos = gallery.path.parent / "photos"
        self.opened = ""

    def labels(self, id_: str | int) -> ImageLabels:
        """What the gallery itself says of a picture."""
        with self.gallery.reader() as reader:
            (said,) = labels_of(reader, [int(id_)])
        return said

    def told(self, text: str) -> None:
        """Wait until the page has said something."""
        self.page.wait_for_selector(f".toast:has-text('{text}')")

    def api(self, path: str) -> Any:
        """What the server answers to a question of ours."""
        answer = self.page.request.get(f"{self.page.watch.origin}/api/v1/{path}")  # type: ignore[attr-defined]
        assert answer.ok, answer.text()
        return answer.json()

    def ids(self, count: int = 6) -> list[str]:
        """Ids of the first pictures of the list, in order."""
        return [str(self.page.get_attribute(f".cell[data-rank='{n + 1}']", "data-id")) for n in range(count)]

    def lists(self, total: int | None = None, count: int = 4) -> list[dict[str, Any]]:
        """Wait until the page shows what the server lists under the page's question; its first hits."""
        settled(self.page)
        answer = self.api(f"search?{self.page.evaluate(QUERY)}&k={count}")
        first = [hit["name"] for hit in answer["hits"]]
        script = """count => [...document.querySelectorAll('.cell[data-rank]')].slice(0, count)
          .map(cell => cell.querySelector('img').alt).join('/')"""
        until(self.page, f"([count, first]) => ({script})(count) === first", argument=[len(first), "/".join(first)])
        assert total is None or answer["total"] == total
        assert names(self.page, len(first)) == first
        return list(answer["hits"])

    def url_has(self, part: str) -> None:
        """Wait until the address says something."""
        until(self.page, "part => location.search.includes(part)", argument=part)

    def viewer_is_closed(self) -> None:
        until(self.page, CLOSED)

    def shows(self, name: str) -> None:
        """Wait until the viewer shows a picture, sharp."""
        script = "name => document.querySelector('#viewer-name')?.textContent === name"
        until(self.page, script, argument=name)
        self.page.wait_for_selector("#viewer[open].sharp")

    def picked(self, *ranks: int) -> None:
        """Wait until exactly these pictures are selected."""
        until(self.page, f"ranks => ({PICKED})().join() === ranks", argument=",".join(map(str, ranks)))
        self.page.wait_for_selector(f".selection-told:has-text('{len(ranks)} selected')")

    def goes_to_view(self, view: str) -> None:
        """By two keys, or by the links at the top, which are in a menu on a phone."""
        link = f"#views [data-view='{view}']"
        if self.keys:
            if self.keys.has_focus("#q"):
                self.keys.press("Escape")
            self.keys.press("g", LETTERS[view])
        elif self.finger:
            self.finger.tap("#menu-button", link)


Task = Callable[[Afternoon], None]
