"""What a first look at the page costs beside its pictures, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from retrieval.web.page_files import first_look, page_files, pages
from tests.web.browser.conftest import until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

MOST_SENT = 70_000
"""Of a first look at the page, as it is sent."""
MOST = 150_000
"""Of a first look before it is compressed, in the language with the longest texts. What comes after the first pictures
is not in it."""
LONGEST = "fr-FR"
MOST_OF_ALL = 150_000
"""Of every view and every module as sent, the data of maps apart: whatever somebody opens, the page stays below it."""

MAP_DATA = ("land.js", "coast.js")
MOST_MAP_DATA = 80_000
"""Compressed; fetched only by who looks at a map."""

LOADED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(one => one.entryType === "navigation" || one.name.includes("/static/"))
  .map(one => [one.name, one.decodedBodySize, one.encodedBodySize, one.transferSize])"""


def test_the_page_is_light_and_asks_nobody_else(open_page: Callable[..., Page]) -> None:
    page = open_page(guarded=False, locale=LONGEST)
    wait_for_pictures(page)
    until(page, "() => document.querySelector('#filters .facets')")
    first = {f"/static/{name}" for name in first_look(page_files())} | {f"/static/messages/{LONGEST[:2]}.js", "/"}
    everything = page.evaluate(LOADED)
    loaded = [one for one in everything if urlsplit(one[0]).path in first]
    assert {urlsplit(one[0]).path for one in loaded} == first
    assert len(loaded) < len(everything), "the filters come after the first pictures"
    assert 50_000 < sum(decoded for _, decoded, _, _ in loaded) < MOST, loaded
    assert 10_000 < sum(encoded for _, _, encoded, _ in loaded) < MOST_SENT
    asked = page.watch.asked  # type: ignore[attr-defined]
    origins = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert origins == {urlsplit(page.url).netloc}


def test_a_second_look_costs_questions_only(open_page: Callable[..., Page]) -> None:
    page = open_page(guarded=False)
    wait_for_pictures(page)
    first = sum(sent for _, _, _, sent in page.evaluate(LOADED))
    page.reload()
    wait_for_pictures(page)
    again = page.evaluate(LOADED)
    assert sum(sent for _, _, _, sent in again) <= 400 * len(again) < first


def test_what_is_loaded_only_when_it_is_looked_at_is_light_too() -> None:
    files = page_files()
    of_one_language = [
        file
        for name, file in files.items()
        if (not name.startswith("messages/") or "/de." in name) and name not in MAP_DATA
    ]
    assert sum(len(files[name].packed) for name in MAP_DATA) < MOST_MAP_DATA
    assert sum(len(file.packed) for file in [*of_one_language, pages()["de"]]) < MOST_OF_ALL
