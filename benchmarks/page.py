"""The web page in a real browser, with many pictures: first paint, last key to pictures, frames while scrolling.

::

    python -m benchmarks.page                           100,000 photos, 10 rounds
    python -m benchmarks.page --photos 500 --rounds 2
    python -m benchmarks.page --write                   also into benchmarks/RESULTS.md

Needs chromium (or its path in PHOTOSEEK_CHROMIUM) and the package playwright. All progress goes to stderr, all results
to stdout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data import Data
from benchmarks.galleries import photo_gallery
from benchmarks.machine import machine_table
from benchmarks.measure import ForeignMeter, foreign_note, percentile, tell
from benchmarks.run import RESULTS, cache_folder
from benchmarks.serve import write_sections
from benchmarks.served import Served
from benchmarks.tables import Table
from retrieval.encoders.registry import load_encoder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TITLE = "Page"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
WORDS = ("a red bird", "a dog", "boats on the water", "a mountain in snow", "people", "a car", "a flower", "food")
_PATIENCE_MS = 120_000
_SCROLL_MS = 3000

PAINTS = """() => Object.fromEntries(performance.getEntriesByType("paint").map(one => [one.name, one.startTime]))"""

DRAWN = """() => new Promise(done => {
  const look = () => {
    const cells = [...document.querySelectorAll(".cell")].filter(cell => {
      const box = cell.getBoundingClientRect();
      return box.bottom > 0 && box.top < innerHeight;
    });
    const isReady = !document.body.classList.contains("searching") && !document.body.classList.contains("typing");
    const isDrawn = cells.length > 0 && cells.every(cell => cell.querySelector("img.loaded, img.broken"));
    if (isReady && isDrawn) done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""
"""When every picture on the screen is there, in ms since the page was asked for."""

FOUND = """() => new Promise(done => {
  const began = performance.now();
  document.querySelector("#q").dispatchEvent(new Event("input"));
  const look = () => {
    const { classList } = document.body;
    const first = document.querySelector(".cell[data-rank='1']");
    const isOver = !classList.contains("typing") && !classList.contains("searching");
    if (isOver && first) done(performance.now() - began); else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""
"""From the last key to the new pictures in the document, in ms; what the page waits for further keys is in it."""

FRAMES = """milliseconds => new Promise(done => {
  const times = [];
  let last = performance.now();
  const end = last + milliseconds;
  const step = now => {
    times.push(now - last);
    last = now;
    scrollBy({ top: 60, behavior: "instant" });
    if (now < end) requestAnimationFrame(step); else done(times.slice(2));
  };
  requestAnimationFrame(step);
})"""
"""Milliseconds between frames while the page scrolls by 60 pixels a frame."""


def page_tables(data: Data, photos: int, rounds: int, model: str) -> list[Table]:
    """Serve a copy of the gallery and look at it."""
    from playwright.sync_api import sync_playwright

    made = photo_gallery(data, photos, load_encoder(model))
    meter = ForeignMeter()
    with data.scratch() as scratch:
        gallery = Path(shutil.copytree(made.path, scratch / "gallery"))
        with Served(gallery) as served, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
            try:
                found = _looked_at(browser, served.url, rounds)
            finally:
                browser.close()
    shares = (0.5, 0.9, 1.0)
    rows = [(name, *(f"{percentile(each, share):,.0f}" for share in shares)) for name, each in found.items()]
    notes = [
        f"1280 x 800, {rounds} rounds, each in a browser without a cache; one before them is left out.",
        "From the last key: 40 ms of it the page waits for a further key. Frames: 60 pixels each, for 3 s.",
        foreign_note([meter.share()]),
    ]
    return [Table(f"{TITLE}: {photos:,} photos", ("ms", "p50", "p90", "max"), rows, notes)]


def _looked_at(browser: Browser, url: str, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}")
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        context.set_default_timeout(_PATIENCE_MS)
        times = _once(context.new_page(), url, WORDS[number % len(WORDS)])
        context.close()
        if number:
            for name, values in times.items():
                found.setdefault(name, []).extend(values)
    return found


def _once(page: Page, url: str, words: str) -> dict[str, list[float]]:
    page.goto(url)
    drawn = page.evaluate(DRAWN)
    paints = page.evaluate(PAINTS)
    frames = page.evaluate(FRAMES, _SCROLL_MS)
    page.fill("#q", words[:-1])
    page.evaluate(DRAWN)
    page.evaluate("words => (document.querySelector('#q').value = words)", words)
    found = page.evaluate(FOUND)
    return {
        "first paint": [paints["first-contentful-paint"]],
        "all pictures on the screen": [drawn],
        "last key to pictures": [found],
        "a frame while scrolling": frames,
    }


def _chromium() -> str:
    found = os.environ.get("PHOTOSEEK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("chromium was not found\ninstall it, or give its path in PHOTOSEEK_CHROMIUM")
    return found


def main(arguments: Sequence[str] | None = None, say: Callable[[str], Any] = print) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--photos", type=int, default=100_000, help="in the gallery (default 100,000)")
    add("--rounds", type=int, default=10, help="visits that are measured (default 10)")
    add("--model", metavar="NAME|FOLDER", default="builtin-224", help="encoder (default builtin-224)")
    add("--data", metavar="DIR", type=Path, help="where test data is kept (default: your cache folder)")
    add("--write", action="store_true", help=f"also write {RESULTS.relative_to(RESULTS.parent.parent)}")
    given = parser.parse_args(arguments)
    say(machine_table().to_markdown())
    tables = page_tables(Data(given.data or cache_folder()), given.photos, given.rounds, given.model)
    for table in tables:
        say(table.to_markdown())
    if given.write:
        write_sections(tables, RESULTS)
        tell(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
