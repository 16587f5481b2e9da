"""The schedule ahead of a device, driven by a fake one: what happens during what, by events and never by the clock.

Every wait below is for something that the schedule has to do meanwhile; where it does not, the wait runs out and the
test fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from retrieval.indexing import schedules
from retrieval.indexing.schedules import BATCHES, PIECE, ahead_of_device

PATIENCE = 600.0
SIZE = 64


class Device:
    """Sums batches of numbers. ``hold`` says what a batch waits for on the device, ``fetch`` what its result waits for.

    Attributes:
        events: what happened, in order: ("decoded" | "on" | "off" | "fetched", number of the batch).
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self._changed = threading.Condition()
        self._pieces: dict[int, int] = {}
        self.hold: Callable[[int], None] = lambda batch: None
        self.fetch: Callable[[int], None] = lambda batch: None
        self.threads: set[str] = set()

    def note(self, what: str, batch: int) -> None:
        with self._changed:
            self.events.append((what, batch))
            self._changed.notify_all()

    def wait_for(self, what: str, batch: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: (what, batch) in self.events, PATIENCE), f"batch {batch}: not {what}"

    def prepare(self, items: Sequence[int]) -> list[int]:
        batch = items[0] // SIZE
        assert len(items) <= PIECE and items[-1] // SIZE == batch
        with self._changed:
            self._pieces[batch] = done = self._pieces.get(batch, 0) + len(items)
        if done == SIZE:
            self.note("decoded", batch)
        return list(items)

    def start(self, parts: list[list[int]]) -> Callable[[], list[int]]:
        items = [item for part in parts for item in part]
        batch = items[0] // SIZE if items else -1
        self.threads.add(threading.current_thread().name)
        self.note("on", batch)
        self.hold(batch)
        self.note("off", batch)

        def collect() -> list[int]:
            self.fetch(batch)
            self.note("fetched", batch)
            return items

        return collect


def batches(count: int, taken: list[int] | None = None) -> Iterator[list[int]]:
    for batch in range(count):
        if taken is not None:
            taken.append(batch)
        yield list(range(batch * SIZE, (batch + 1) * SIZE))


def running(
    device: Device, work: Iterator[list[int]], workers: int = 2, stop: Callable[[], bool] = lambda: False
) -> Iterator[list[int]]:
    return ahead_of_device(work, device.prepare, device.start, workers=workers, stop=stop)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_next_batch_is_decoded_whole_while_this_one_is_on_the_device(workers: int) -> None:
    device, count = Device(), 6
    device.hold = lambda batch: device.wait_for("decoded", min(batch + 1, count - 1))
    results = list(running(device, batches(count), workers))
    assert [item for result in results for item in result] == list(range(count * SIZE))
    assert len(device.threads) == 1, "one caller for the device"
    for batch in range(count - 1):
        assert device.events.index(("decoded", batch + 1)) < device.events.index(("off", batch))


def test_a_batch_is_started_before_the_result_of_the_one_before_is_fetched() -> None:
    """Copying batch i + 1 to a GPU then overlaps with computing i."""
    device, count = Device(), 5
    device.fetch = lambda batch: device.wait_for("off", min(batch + 1, count - 1))
    assert [result[0] // SIZE for result in running(device, batches(count))] == list(range(count))
    for batch in range(count - 1):
        assert device.events.index(("off", batch + 1)) < device.events.index(("fetched", batch))


def test_two_batches_go_through_the_device_while_the_caller_is_busy() -> None:
    device, count, seen = Device(), 9, []
    for result in running(device, batches(count)):
        seen.append(result[0] // SIZE)
        # A commit, as long as two batches take from the decoder to their results.
        device.wait_for("fetched", min(seen[-1] + 2, count - 1))
    assert seen == list(range(count))


def test_look_ahead_is_bounded_while_the_device_is_slow() -> None:
    device, taken, most, given = Device(), [], 0, 0
    device.hold = lambda batch: device.wait_for("decoded", min(batch + BATCHES - 1, 29))
    for result in running(device, batches(30, taken), workers=4):
        most = max(most, len(taken) - given)
        assert result[0] // SIZE == given
        given += 1
    assert given == 30
    assert most == BATCHES


def test_a_short_batch_goes_to_the_device_as_it_is() -> None:
    device = Device()
    assert list(running(device, iter([[1, 2, 3], [64], list(range(128, 128 + PIECE + 1))]))) == [
        [1, 2, 3], [64], list(range(128, 128 + PIECE + 1)),
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["prepare", "start", "collect", "walk"])
def test_an_error_anywhere_reaches_the_caller_and_ends_all_threads(where: str) -> None:
    device, before = Device(), threading.active_count()

    def fail(batch: int) -> None:
        if batch == 3:
            raise LookupError("broken")

    def prepare(items: Sequence[int]) -> list[int]:
        if where == "prepare":
            fail(items[0] // SIZE)
        return device.prepare(items)

    def work() -> Iterator[list[int]]:
        for number, batch in enumerate(batches(50)):
            if where == "walk":
                fail(number)
            yield batch

    if where == "start":
        device.hold = fail
    elif where == "collect":
        device.fetch = fail
    seen = []
    with pytest.raises(LookupError, match="broken"):
        for result in ahead_of_device(work(), prepare, device.start, workers=2, stop=lambda: False):
            seen += [result[0] // SIZE]
    # What was under way when the walk broke is lost like after any crash: none of it was handed over.
    assert seen == list(range(len(seen))) and len(seen) <= 3
    assert where == "walk" or len(seen) == 3
    assert threading.active_count() == before
    assert max(batch for _, batch in device.events) <= 3 + BATCHES


def test_a_stop_yields_what_is_prepared_without_a_gap_and_prepares_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    device, prepared = Device(), []
    stopped, reached, cancelled = threading.Event(), threading.Event(), threading.Event()
    cancel = schedules._Batch.cancel

    def noticed_cancel(batch: schedules._Batch[list[int]]) -> bool:
        answer = cancel(batch)
        cancelled.set()
        return answer

    monkeypatch.setattr(schedules._Batch, "cancel", noticed_cancel)

    def prepare(items: Sequence[int]) -> list[int]:
        if items[0] >= 2 * SIZE:  # the third batch is still being decoded when the stop comes
            reached.set()
            assert cancelled.wait(PATIENCE)
        prepared.extend(items)
        return list(items)

    results = []
    for result in ahead_of_device(batches(50), prepare, device.start, workers=2, stop=stopped.is_set):
        results += result
        assert reached.wait(PATIENCE)
        stopped.set()
    assert results == sorted(prepared) == list(range(len(results)))
    assert 2 * SIZE < len(results) < 3 * SIZE, "two whole batches, and the pieces of the third that were begun"


def test_a_caller_that_leaves_early_leaves_no_threads_and_starts_nothing_more() -> None:
    device, before = Device(), threading.active_count()
    work = running(device, batches(50))
    next(work)
    work.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert sum(what == "on" for what, _ in device.events) <= 1 + BATCHES
