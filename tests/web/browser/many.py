"""A page that shows 100,000 pictures of a small gallery."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Error

if TYPE_CHECKING:
    from playwright.sync_api import Route

MANY = 100_000
ON_SCREEN = """() => [...document.querySelectorAll('.cell')].filter(cell => {
  const box = cell.getBoundingClientRect();
  return box.bottom > 80 && box.top < innerHeight;
})"""
ALL_DRAWN = f"""() => {{
  const seen = ({ON_SCREEN})();
  return seen.length > 3 && seen.every(cell => cell.querySelector("img.loaded"));
}}"""


class Multiplied:
    """The gallery's own answers, repeated until there are 100,000: the pictures and their thumbnails are real.

    Args:
        days: on which they were taken, with the number of each; None: the list is not by days.
    """

    def __init__(self, days: list[tuple[str, int]] | None = None) -> None:
        self.days = days
        self.offsets: list[int] = []
        self._hits: list[dict[str, Any]] = []

    def __call__(self, route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        offset, k = int(asked["offset"][0]), int(asked["k"][0])
        first = re.sub(r"offset=\d+", "offset=0", route.request.url)
        answer = json.loads(route.fetch(url=first).body())
        hits = answer["hits"]
        self.offsets.append(offset)
        answer["hits"] = [
            # An id of its own for each rank, from which the true one is found again.
            hits[(rank - 1) % len(hits)] | {"rank": rank, "id": rank * 1000 + hits[(rank - 1) % len(hits)]["id"]}
            for rank in range(offset + 1, min(offset + k, MANY) + 1)
        ]
        with suppress(Error):  # the page has scrolled on and called it off
            route.fulfill(json=answer | {"total": MANY, "offset": offset, "days": None if offset else self.days})

    @staticmethod
    def thumbnail(route: Route) -> None:
        url = re.sub(r"/images/(\d+)/", lambda found: f"/images/{int(found[1]) % 1000}/", route.request.url)
        route.continue_(url=url)
