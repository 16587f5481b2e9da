"""The page in other languages: the browser's, or the one chosen; only its messages are loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from retrieval.web.languages import languages
from tests.web.browser.conftest import count_line, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURES = {"de": "120 Bilder", "fr": "120 images", "es": "120 imágenes", "zh": "120 张图片"}


@pytest.mark.parametrize(("locale", "language"), [("de-CH", "de"), ("zh-Hans-CN", "zh")])
def test_the_page_speaks_the_browsers_language(open_page: Callable[..., Page], locale: str, language: str) -> None:
    page = open_page(locale=locale)
    wait_for_pictures(page)
    assert page.get_attribute("html", "lang") == language
    assert count_line(page) == PICTURES[language]
    asked = page.watch.asked  # type: ignore[attr-defined]
    assert [url.rpartition("/")[2] for url in asked if "/messages/" in url] == [f"{language}.js"]


def test_another_language_is_chosen_and_kept(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird")
    wait_for_pictures(page)
    page.click("#help-button")
    choice = page.get_by_label("Language")
    assert choice.locator("option").all_inner_texts() == ["English", "Deutsch", "español", "français", "中文"]
    assert choice.locator("option").count() == len(languages())
    choice.select_option("fr")
    page.wait_for_selector("html[lang=fr]")
    wait_for_pictures(page)
    assert "q=a+bird" in page.url
    assert page.locator("#sort option").first.inner_text() == "Plus pertinentes"
    page.reload()
    page.wait_for_selector("html[lang=fr]")


def test_names_that_people_wrote_run_in_their_own_direction(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird&not=%D7%97%D7%95%D7%A3")
    until(page, "() => document.querySelector('.chip-text')")
    assert page.evaluate("() => getComputedStyle(document.querySelector('.chip-text')).direction") == "rtl"
    assert page.evaluate("() => getComputedStyle(document.querySelector('.chip-label')).direction") == "ltr"
    assert page.get_attribute("#q", "dir") == "auto"


@pytest.mark.parametrize("language", languages())
def test_plurals_are_those_that_browsers_know(page: Page, language: str) -> None:
    categories = page.evaluate("tag => new Intl.PluralRules(tag).resolvedOptions().pluralCategories", language)
    from retrieval.web.languages import messages

    said = messages(language)["count.pictures"]
    assert isinstance(said, dict)
    assert {"other", *({"one"} & set(categories))} == set(said)
