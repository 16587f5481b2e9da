"""Thirty tasks of one afternoon, by keyboard alone and by touch alone. With ``-s`` the steps of each are printed; the
table in docs/web.md has them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from retrieval.gallery import Gallery
from tests.web.browser.afternoon import Afternoon, make_gallery
from tests.web.browser.changing_tasks import LABELLING, MANY
from tests.web.browser.conftest import wait_for_pictures
from tests.web.browser.driving import Finger, Keys
from tests.web.browser.finding_tasks import FINDING, LEAVING

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.conftest import Running

pytestmark = pytest.mark.browser

TASKS = [*FINDING, *LABELLING, *LEAVING, *MANY]
DRAGGED = "Go to a year on the timeline"
"""Who is slow swipes more than once there."""
SPARE = 8
"""Presses of Tab more than the table says: how many controls the filters have depends on what was counted by then."""
DOCS = Path(__file__).parents[3] / "docs" / "web.md"
CLIPBOARD = ["clipboard-read", "clipboard-write"]


def in_the_table(column: str) -> dict[str, int]:
    """What docs/web.md says of each task, in the column ``keys`` or ``taps``."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in DOCS.read_text("utf-8").splitlines()]
    told = {name for name, _ in TASKS}
    return {row[0]: int(row[1 if column == "keys" else 2]) for row in rows if row[0] in told}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the gallery as it is before an afternoon."""
    place = tmp_path_factory.mktemp("afternoon")
    make_gallery(place)
    return place


@pytest.fixture
def spend(
    untouched: Path, start_server: Callable[..., Running], open_page: Callable[..., Page]
) -> Callable[..., dict[str, int]]:
    """``spend(Keys, width=..., ...)``: all tasks one after another on a gallery of its own; the steps of each."""

    def spend_(hand: type[Keys] | type[Finger], **screen: Any) -> dict[str, int]:
        gallery = Gallery(untouched / f"gallery-{hand.__name__}")
        shutil.copytree(untouched / "gallery", gallery.path)
        server = start_server(gallery.path)
        page = open_page(server=server, permissions=CLIPBOARD, **screen)
        wait_for_pictures(page)
        day = Afternoon(
            page, gallery, hand(page), lambda address: open_page(address.removeprefix(server.url), server=server)
        )
        taken = {}
        for name, do in TASKS:
            before = day.hand.steps
            do(day)
            taken[name] = day.hand.steps - before
        print("", *(f"{steps:4} {name}" for name, steps in taken.items()), sep="\n")
        return taken

    return spend_


def test_by_keyboard_alone(spend: Callable[..., dict[str, int]]) -> None:
    taken, told = spend(Keys, width=1280), in_the_table("keys")
    assert len(taken) == 30 and list(taken) == list(told)
    assert {name: keys for name, keys in taken.items() if keys > told[name] + SPARE} == {}


def test_by_touch_alone(spend: Callable[..., dict[str, int]]) -> None:
    taken, told = spend(Finger, width=390, height=844, has_touch=True, is_mobile=True), in_the_table("taps")
    assert len(taken) == 30 and list(taken) == list(told)
    assert taken | {DRAGGED: 2} == told
