"""Thumbnails in the making: once for all who ask, in few threads, and not for those who left."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from retrieval.catalog.records import FileChanged, ImageRecord
from retrieval.errors import Busy
from retrieval.gallery import Gallery
from retrieval.pictures.images import content_hash
from retrieval.server.job_queue import Stopping
from retrieval.web.pictures import thumbnails as module
from retrieval.web.pictures.thumbnails import Thumbnails
from retrieval.web.settings import Settings
from tests.pictures import save_picture

T = TypeVar("T")


def record_of(path: Path, number: int = 1) -> ImageRecord:
    """The record that indexing would make of a picture."""
    found = path.stat()
    with Image.open(path) as image:
        width, height = image.size
    digest = content_hash(path.read_bytes())
    return ImageRecord(
        number, str(path), found.st_size, found.st_mtime_ns, "PNG", width, height, None, None, None, None, None, digest
    )


@pytest.fixture
def images(tmp_path: Path) -> list[ImageRecord]:
    return [record_of(save_picture(tmp_path / f"photos/{n}.png", "red", seed=n, size=(300, 200)), n) for n in range(8)]


class Looks:
    """Counts what is really decoded, and holds it up while told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, str]] = []
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Event()
        self.may_go_on.set()
        self.together = self.most_together = 0
        self._lock, self._look = threading.Lock(), module.look_at

    def __call__(self, image: ImageRecord, side: int) -> Image.Image:
        with self._lock:
            self.seen.append((image.id, side, threading.current_thread().name))
            self.together += 1
            self.most_together = max(self.together, self.most_together)
        self.begun.release()
        assert self.may_go_on.wait(600)
        with self._lock:
            self.together -= 1
        return self._look(image, side)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    counting = Looks()
    monkeypatch.setattr(module, "look_at", counting)
    monkeypatch.setattr(module, "available_cpus", lambda: 2)
    yield counting
    counting.may_go_on.set()


def with_thumbnails(folder: Path, do: Callable[[Thumbnails], Awaitable[T]], **settings: Any) -> T:
    """Run ``do`` in an event loop of its own, with the thumbnails of a gallery in ``folder``."""

    async def run() -> T:
        made = Thumbnails(Gallery(folder), Settings(**settings))
        try:
            return await do(made)
        finally:
            made.close()

    return asyncio.run(run())


async def begun(looks: Looks, count: int = 1) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(looks.begun.acquire, timeout=600)


def test_identical_requests_at_once_decode_once(tmp_path: Path, images: list[ImageRecord], looks: Looks) -> None:
    async def ask(made: Thumbnails) -> list[bytes]:
        looks.may_go_on.clear()
        asking = [asyncio.ensure_future(made.make(images[n % 2], 240)) for n in range(40)]
        await begun(looks, 2)
        looks.may_go_on.set()
        first = await asyncio.gather(*asking)
        again = await made.make(images[0], 240)  # made meanwhile: found, though nobody looked before asking
        return [*first, again]

    answers = with_thumbnails(tmp_path, ask)
    assert len(set(answers)) == 2
    assert sorted(look[0] for look in looks.seen) == [0, 1]
    assert all(name.startswith("thumbnails") for *_, name in looks.seen)  # not the event loop's thread


def test_few_are_decoded_at_once_and_large_ones_one_by_one(
    tmp_path: Path, images: list[ImageRecord], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(made: Thumbnails) -> None:
        await asyncio.gather(*(made.make(image, side) for image in images for side in (100, 200)))

    with_thumbnails(tmp_path / "a", ask)
    assert (len(looks.seen), looks.most_together <= 2) == (16, True)
    looks.most_together = 0
    monkeypatch.setattr(module, "_LARGE_PIXELS", 1)
    with_thumbnails(tmp_path / "b", ask)
    assert (len(looks.seen), looks.most_together) == (32, 1)


def test_what_nobody_waits_for_any_more_is_not_made(tmp_path: Path, images: list[ImageRecord], looks: Looks) -> None:
    async def ask(made: Thumbnails) -> bytes:
        looks.may_go_on.clear()
        busy = [asyncio.ensure_future(made.make(image, 240)) for image in images[:2]]
        await begun(looks, 2)
        left, stays = (asyncio.ensure_future(made.make(images[2], 240)) for _ in range(2))
        alone = asyncio.ensure_future(made.make(images[3], 240))
        await asyncio.sleep(0)
        for task in (left, alone):
            task.cancel()
        busy[0].cancel()  # that one is in the making already, and is finished for the next who asks
        await asyncio.gather(left, alone, busy[0], return_exceptions=True)
        again = asyncio.ensure_future(made.make(images[0], 240))
        await asyncio.sleep(0)
        looks.may_go_on.set()
        assert await stays == await made.make(images[2], 240)
        await again
        return await asyncio.gather(busy[1]) and await stays

    assert with_thumbnails(tmp_path, ask)
    assert sorted(look[0] for look in looks.seen) == [0, 1, 2]


def test_more_than_can_wait_is_refused(
    tmp_path: Path, images: list[ImageRecord], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)

    async def ask(made: Thumbnails) -> list[Any]:
        looks.may_go_on.clear()
        running = [asyncio.ensure_future(made.make(image, 240)) for image in images[:2]]
        await begun(looks, 2)
        waiting = [asyncio.ensure_future(made.make(image, 240)) for image in images[2:]]
        await asyncio.sleep(0.05)
        looks.may_go_on.set()
        return await asyncio.gather(*running, *waiting, return_exceptions=True)

    answers = with_thumbnails(tmp_path, ask)
    assert [type(answer) for answer in answers] == [bytes] * 5 + [Busy] * 3


def test_closing_refuses_what_waits(tmp_path: Path, images: list[ImageRecord], looks: Looks) -> None:
    async def ask(made: Thumbnails) -> list[Any]:
        looks.may_go_on.clear()
        asked = [asyncio.ensure_future(made.make(image, 240)) for image in images[:3]]
        await begun(looks, 2)
        made.close()
        looks.may_go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = with_thumbnails(tmp_path, ask)
    assert [type(answer) for answer in answers] == [bytes, bytes, Stopping]


def test_an_error_reaches_all_who_asked_and_is_not_remembered(tmp_path: Path, images: list[ImageRecord]) -> None:
    image, path = images[0], Path(images[0].path)
    data = path.read_bytes()

    async def ask(made: Thumbnails) -> list[Any]:
        path.unlink()
        gone = await asyncio.gather(*(made.make(image, 240) for _ in range(3)), return_exceptions=True)
        # Of the same length and time, which only the bytes give away.
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(path, ns=(image.mtime_ns, image.mtime_ns))
        changed = await asyncio.gather(made.make(image, 240), return_exceptions=True)
        path.write_bytes(data)
        os.utime(path, ns=(image.mtime_ns, image.mtime_ns))
        return [*gone, *changed, await made.make(image, 240)]

    answers = with_thumbnails(tmp_path, ask)
    assert [type(answer) for answer in answers] == [FileNotFoundError] * 3 + [FileChanged, bytes]


def test_small_pictures_have_one_thumbnail_for_all_sizes(
    tmp_path: Path, images: list[ImageRecord], looks: Looks
) -> None:
    async def ask(made: Thumbnails) -> list[bytes | None]:
        first = await made.make(images[0], 480)
        return [first, made.find(images[0], 1024), made.find(images[0], 2048), made.find(images[0], 240)]

    first, same, also, smaller = with_thumbnails(tmp_path, ask)
    assert first == same == also
    assert smaller is None
    assert looks.seen[0][1] == 300


def test_the_bound_is_the_settings(tmp_path: Path, images: list[ImageRecord]) -> None:
    async def ask(made: Thumbnails) -> list[bytes | None]:
        await made.make(images[0], 240)
        return [made.find(images[0], 240)]

    assert with_thumbnails(tmp_path, ask, thumbnail_bytes=0) == [None]
    assert with_thumbnails(tmp_path, ask) != [None]
