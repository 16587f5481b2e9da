"""A page driven by keys alone, or by a finger alone: what is done is counted, and nothing is done by script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.web.browser.conftest import box_of, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_TABS = 80
"""A page of which more than so many controls have to be passed cannot be used by keys."""

HAS_FOCUS = "selector => document.activeElement.matches(selector)"


class Keys:
    """A keyboard.

    Attributes:
        steps: keys pressed so far, those of texts apart.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.steps = page, 0

    def press(self, *names: str) -> None:
        """Press keys, one after another."""
        for name in names:
            self.page.keyboard.press(name)
            self.steps += 1

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self.page.keyboard.type(text)

    def has_focus(self, selector: str) -> bool:
        """Whether a control has the focus now."""
        return bool(self.page.evaluate(HAS_FOCUS, selector))

    def lands_on(self, selector: str) -> None:
        """Wait until the page has moved the focus there."""
        until(self.page, HAS_FOCUS, argument=selector)

    def reach(self, selector: str, *, back: bool = False) -> None:
        """Go to a control with the tab key."""
        self.page.wait_for_selector(selector, state="attached")
        for _ in range(MOST_TABS):
            if self.has_focus(selector):
                return
            self.press("Shift+Tab" if back else "Tab")
        pytest.fail(f"the tab key does not come to {selector}")

    def use(self, selector: str, *, key: str = "Enter", back: bool = False) -> None:
        """Go to a control and press it."""
        self.reach(selector, back=back)
        self.press(key)

    def go_to_box(self) -> None:
        """Go to the search box, with what stands in it kept."""
        if not self.has_focus("#q"):
            self.press("/")
        self.press("End")


class Finger:
    """A finger, and a second one to pinch.

    Attributes:
        steps: taps, swipes, pinches and long presses so far.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.steps = page, 0
        self._touches = page.context.new_cdp_session(page)

    def tap(self, *selectors: str) -> None:
        """Tap what is there, one after another."""
        for selector in selectors:
            self.page.tap(selector)
            self.steps += 1

    def write(self, selector: str, text: str) -> None:
        """Tap into a field and write with the keyboard on the screen."""
        self.tap(selector)
        self.page.keyboard.type(text)

    def enter(self) -> None:
        """The key of the keyboard on the screen that sends."""
        self.page.keyboard.press("Enter")
        self.steps += 1

    def choose(self, selector: str, value: str) -> None:
        """Tap a list and one of its values: the list itself is drawn by the phone, outside of the page."""
        self.page.select_option(selector, value)
        self.steps += 2

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Say where the fingers are. ``kind``: ``touchStart``, ``touchMove``, ``touchEnd`` or ``touchCancel``."""
        places: list[dict[str, Any]] = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    def hold(self, selector: str, until_: str) -> None:
        """Keep the finger on something until a script says that the page has understood."""
        self.page.locator(selector).scroll_into_view_if_needed()
        box = box_of(self.page.locator(selector))
        self.touch("touchStart", (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
        until(self.page, until_)
        self.touch("touchEnd")
        self.steps += 1

    def swipe(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """One finger, from one place to another."""
        self.touch("touchStart", begin)
        for share in (0.25, 0.5, 0.75, 1):
            self.touch("touchMove", (begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share))
        self.touch("touchEnd")
        self.steps += 1

    def pinch(self, middle: tuple[float, float], apart: float, then: float) -> None:
        """Two fingers beside a place, first and at last so far apart."""
        both = [
            ((middle[0] - width / 2, middle[1]), (middle[0] + width / 2, middle[1]))
            for width in (apart, (apart + then) / 2, then)
        ]
        self.touch("touchStart", both[0][0])
        self.touch("touchStart", *both[0])
        for two in both[1:]:
            self.touch("touchMove", *two)
        self.touch("touchEnd")
        self.steps += 1
