"""Searching with pictures: uploads of three kinds, more and less like what was found, similar pictures, chips."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.conftest import EXAMPLES
from tests.web.browser.conftest import names, settled, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

ROSE = EXAMPLES / "flowers" / "rose.jpg"

DROP = """([type, name, text]) => {
  const bytes = Uint8Array.from(atob(text), one => one.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const event = type === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector("#results").dispatchEvent(event);
}"""


def give(page: Page, how: str) -> None:
    """Hand the page a picture as a browser does."""
    if how == "choose":
        with page.expect_file_chooser() as chooser:
            page.click("#pick-picture")
        chooser.value.set_files(ROSE)
        return
    content = base64.b64encode(ROSE.read_bytes()).decode("ascii")
    if how == "drop":
        page.evaluate(DROP, ["dragenter", ROSE.name, content])
        assert page.locator("#drop").is_visible()
    page.evaluate(DROP, [how, ROSE.name, content])
    assert page.locator("#drop").is_hidden()


def tile(page: Page, name: str) -> str:
    """The cell of a picture; which rank it has is not the test's business."""
    return f".cell:has(img[alt='{name}'])"


@pytest.mark.parametrize("how", ["choose", "drop", "paste"])
def test_a_picture_finds_itself_and_others_like_it(page: Page, how: str) -> None:
    give(page, how)
    until(page, "() => location.search.startsWith('?like=u1.')")
    wait_for_pictures(page)
    settled(page)
    assert names(page, 1) == [ROSE.name]
    chip = page.locator(".chip.like")
    assert ROSE.name in chip.inner_text()
    assert str(chip.locator("img").get_attribute("src")).startswith("data:image/jpeg")
    # The address holds the picture, and its preview stays in this tab.
    page.reload()
    wait_for_pictures(page)
    assert names(page, 1) == [ROSE.name]
    assert ROSE.name in chip.inner_text()
    page.click(".chip.like .chip-off")
    settled(page)
    assert page.locator("#chips").is_hidden()
    assert not page.url.endswith("u1")


def test_what_is_no_picture_is_said_to_be_none(page: Page) -> None:
    page.watch.expected.append("415")  # type: ignore[attr-defined]
    page.set_input_files("#picture", {"name": "notes.png", "mimeType": "image/png", "buffer": b"these are no pixels"})
    page.wait_for_selector(".toast.error")
    assert "like=" not in page.url
    assert names(page)


def test_a_picture_that_the_server_forgot_is_asked_for_again(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.watch.expected.append("410")  # type: ignore[attr-defined]
    wait_for_pictures(page)
    page.goto(page.url + "?like=u1.never-was-here")
    until(page, "() => !document.querySelector('#message').hidden")
    assert "no longer known" in page.inner_text("#message")


def test_more_like_this_and_less_like_this(page: Page) -> None:
    page.fill("#q", "animal")
    settled(page)
    before = names(page, 30)
    liked, disliked = before[4], before[0]
    page.hover(tile(page, liked))
    page.click(f"{tile(page, liked)} [data-act=more]")
    settled(page)
    assert names(page, 1) == [liked]
    assert liked in page.locator(".chip.more").inner_text()
    page.hover(tile(page, disliked))
    page.click(f"{tile(page, disliked)} [data-act=less]")
    settled(page)
    assert disliked not in names(page, 120)
    assert disliked in page.locator(".chip.less").inner_text()
    assert page.locator(".chip img").count() == 2
    page.click(".chip-clear")
    settled(page)
    assert names(page, 30) == before
    assert page.input_value("#q") == "animal"
    page.go_back()
    settled(page)
    assert page.locator(".chip").count() == 2


def test_similar_pictures_replace_the_words(page: Page) -> None:
    page.fill("#q", "a red flower")
    settled(page)
    first = names(page, 1)[0]
    page.hover(tile(page, first))
    page.click(f"{tile(page, first)} [data-act=similar]")
    settled(page)
    assert page.input_value("#q") == ""
    assert first in page.locator(".chip.like").inner_text()
    assert first not in names(page, 120)
    page.go_back()
    settled(page)
    assert page.input_value("#q") == "a red flower"


def test_less_like_this_needs_something_that_is_looked_for(page: Page) -> None:
    first = names(page, 1)[0]
    page.hover(tile(page, first))
    page.click(f"{tile(page, first)} [data-act=less]")
    assert "what to look for" in page.inner_text(".toast")
    assert "less=" not in page.url


def test_removing_a_chip_moves_the_focus_to_the_next(page: Page) -> None:
    page.goto(page.url + "?q=animal&more=1&more=2&more=3")
    wait_for_pictures(page)
    page.focus(".chip-off")
    page.keyboard.press("Enter")
    settled(page)
    assert page.locator(".chip").count() == 2
    assert page.evaluate("() => document.activeElement.className") == "chip-off"
    assert "more=1" not in page.url
