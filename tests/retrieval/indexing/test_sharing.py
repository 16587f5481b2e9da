"""Several runs, each a process with a gallery's folder of its own as on another machine, share a catalog."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
from retrieval.catalog.batch import Batch
from retrieval.catalog.leases import lease_key
from retrieval.catalog.postgres import writer
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import ConnectionLost, NoConnectionLeft, open_connection
from retrieval.catalog.postgres.leases import Leases
from retrieval.catalog.postgres.reader import ServerReader
from retrieval.catalog.postgres.writer import ServerCatalog
from retrieval.errors import GalleryLocked
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.maintenance.verify import verify
from retrieval.making import make_in_server
from tests.fakes import ColourEncoder
from tests.indexes.servers import Postgres, postgres
from tests.pictures import save_picture
from tests.retrieval.catalog.servers import administer, new_catalog
from tests.retrieval.rows import encoder_spec, image

NEVER = (0.2, 600.0, 600.0)
"""Seconds: how often a run says that it lives, and after how many it counts as dead: killed, and stopped."""
SOON = (0.2, 1.0, 600.0)
STOPPED = (0.2, 1.0, 2.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be ended."""
    made = Postgres()
    yield made
    made.stop()


def tree(folder: Path, count: int = 24, first: int = 0) -> Path:
    """A folder with pictures, all different, in folders of different sizes."""
    for number in range(first, first + count):
        save_picture(folder / f"{number % 3}" / f"{number}.png", "red", seed=number)
    return folder


class Runs:
    """Runs on one catalog; those that a test leaves behind are ended."""

    def __init__(self, place: Path, address: CatalogAddress) -> None:
        self.place, self.address = place, address
        self.gate = place / "gate"
        self._running: list[subprocess.Popen[str]] = []

    def gallery(self, host: str) -> Gallery:
        gallery = Gallery(self.place / f"gallery-{host}")
        make_in_server(gallery, self.address)
        return gallery

    def start(
        self,
        host: str,
        *folders: Path,
        waits: bool = False,
        times: tuple[float, float, float] = NEVER,
        model: str = "colour",
        index: str | None = None,
    ) -> subprocess.Popen[str]:
        """Start a run; one that ``waits`` holds the first pictures and encodes none of them before :meth:`open`."""
        asked = {
            "host": host,
            "times": times,
            "gallery": str(self.gallery(host).path),
            "gate": str(self.gate) if waits else None,
            "model": model,
            "index": index,
            "folders": [str(folder) for folder in folders],
        }
        command = [sys.executable, "-m", "tests.retrieval.indexing.one_run", json.dumps(asked)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._running.append(run)
        if waits:
            assert run.stdout is not None and run.stdout.readline() == "encoding\n"
        return run

    def open(self) -> None:
        """Let the runs that wait go on."""
        self.gate.touch()

    def await_leases(self, count: int) -> None:
        """Wait until runs have leased so many files, and write nothing."""
        with open_connection(self.address) as connection:
            is_quiet = f"""SELECT (SELECT count(*) FROM leases) = {count} AND NOT EXISTS (SELECT 1 FROM pg_stat_activity
                WHERE state LIKE 'idle in transaction%' AND datname = current_database())"""
            until = time.monotonic() + 60
            while not (connection.execute(is_quiet).fetchone() or [False])[0]:
                assert time.monotonic() < until
                time.sleep(0.05)

    def end(self) -> None:
        for run in self._running:
            run.kill()
            run.communicate()

    def present(self) -> list[str]:
        """The paths of all present pictures, each as often as it is there."""
        with closing(ServerReader(self.address, self.place)) as reader:
            sql = (
                "SELECT f.path, i.name FROM images AS i JOIN folders AS f ON f.id = i.folder_id WHERE NOT i.is_retired"
            )
            return sorted(f"{folder}/{name}" for folder, name in reader.rows(sql))

    def check(self, *folders: Path) -> None:
        """Every file is there once, with an embedding; nothing is left of leases; verify finds nothing."""
        assert self.present() == sorted(str(path) for folder in folders for path in folder.rglob("*.png"))
        with closing(ServerReader(self.address, self.place)) as reader:
            assert reader.count() == reader.rows("SELECT count(*) FROM embeddings")[0][0]
            assert reader.rows("SELECT count(*) FROM leases")[0][0] == 0
        host = "one" if (self.place / "gallery-one").exists() else "verify"
        assert {finding.state for finding in verify(self.gallery(host))} <= {"sound", "note"}  # of an index in a server


@contextmanager
def ended(runs: Runs) -> Iterator[Runs]:
    try:
        yield runs
    finally:
        runs.end()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with ended(Runs(tmp_path, new_catalog())) as made:
        yield made


def report_of(run: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 0
    report: dict[str, Any] = json.loads(out.splitlines()[-1])
    return report


def total(reports: list[dict[str, Any]], name: str) -> int:
    return sum(report.get(name, 0) for report in reports)


def test_three_runs_at_once_encode_every_file_once(runs: Runs, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", 60)
    waiting = [runs.start(host, photos, waits=True) for host in ("one", "two")]  # both have files, and wait
    third = runs.start("three", photos)
    runs.open()
    reports = [report_of(run) for run in (*waiting, third)]
    assert total(reports, "encodings") == total(reports, "added") == 60
    assert all(report["encodings"] for report in reports[:2])
    assert all(report["encodings"] + report.get("by_others", 0) + report["unchanged"] == 60 for report in reports)
    runs.check(photos)
    assert not any("held_by" in report or "taken_over" in report for report in reports)


def test_runs_on_trees_that_overlap(runs: Runs, tmp_path: Path) -> None:
    photos, others = tree(tmp_path / "photos", 36), tree(tmp_path / "others", 36, first=100)
    one = runs.start("one", photos, waits=True)
    two = runs.start("two", others, photos / "1", waits=True)
    runs.open()
    reports = [report_of(one), report_of(two)]
    assert total(reports, "encodings") == total(reports, "added") == 72
    runs.check(photos, others)


def test_the_files_of_a_run_that_is_killed_are_done_by_the_one_that_goes_on(runs: Runs, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", 60)
    one = runs.start("one", photos, waits=True, times=SOON)
    two = runs.start("two", photos, waits=True, times=SOON)
    one.kill()
    one.wait()
    runs.open()
    report = report_of(two)
    assert report["encodings"] == report["added"] == 60 and report["taken_over"] > 0
    runs.check(photos)


def test_the_files_of_a_run_that_was_killed_are_done_by_the_next(runs: Runs, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    one = runs.start("one", photos, waits=True, times=SOON)
    one.kill()
    one.wait()
    report = report_of(runs.start("one", photos, times=SOON))
    assert report["encodings"] == report["added"] == 24
    runs.check(photos)


def test_a_run_that_was_stopped_past_its_leases_writes_nothing_over_what_others_did(runs: Runs, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    one = runs.start("one", photos, waits=True, times=STOPPED)
    runs.await_leases(24)  # all: it has nothing to write, and waits for its encoder
    one.send_signal(signal.SIGSTOP)
    report = report_of(runs.start("two", photos, times=STOPPED))
    assert report["encodings"] == report["added"] == 24
    for path in photos.rglob("*.png"):  # what the stopped run has read is old by now
        save_picture(path, "blue", seed=int(path.stem))
    report = report_of(runs.start("two", photos, times=STOPPED))
    assert report["encodings"] == report["updated"] == 24
    with closing(ServerReader(runs.address, tmp_path)) as reader:
        before = reader.rows("SELECT id, content_hash, mtime_ns, change FROM images ORDER BY id")
    runs.open()
    one.send_signal(signal.SIGCONT)
    report = report_of(one)
    assert 0 < report["encodings"] <= report["superseded"] == 24  # some it reads only now: these bytes are known
    assert report["added"] == report["updated"] == 0
    with closing(ServerReader(runs.address, tmp_path)) as reader:
        assert reader.rows("SELECT id, content_hash, mtime_ns, change FROM images ORDER BY id") == before
    runs.check(photos)


def test_a_restart_of_the_server_takes_nothing_from_a_run(server: Postgres, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", 60)
    with ended(Runs(tmp_path, new_catalog(server))) as runs:
        waiting = [runs.start(host, photos, waits=True) for host in ("one", "two")]
        server.crash()
        server.start()
        runs.open()
        reports = [report_of(run) for run in waiting]
        assert total(reports, "encodings") == total(reports, "added") == 60
        runs.check(photos)


def test_no_connection_left_in_the_middle_is_waited_for(server: Postgres, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos")
    with ended(Runs(tmp_path, new_catalog(server))) as runs:
        one = runs.start("one", photos, waits=True)
        runs.await_leases(24)
        two = runs.gallery("two")
        with ExitStack() as opened:
            administer(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            with pytest.raises(NoConnectionLeft):
                while True:
                    opened.enter_context(closing(open_connection(runs.address)))
            with pytest.raises(NoConnectionLeft, match="has no connection left"):
                Indexer(two, ColourEncoder()).run(photos)
            runs.open()  # it cannot go on
        report = report_of(one)
        assert report.get("encodings") == 24, report
        runs.check(photos)


def test_runs_with_another_model_and_what_rewrites_rows_are_told(runs: Runs, tmp_path: Path) -> None:
    photos = tree(tmp_path / "photos", 6)
    one = runs.start("one", photos, waits=True)
    two = runs.gallery("two")
    name = f"process {one.pid} on one"
    with pytest.raises(GalleryLocked, match=f"{name} is indexing this gallery with the model colour") as told:
        Indexer(two, ColourEncoder(name="other")).run(photos)
    assert "--model colour" in told.value.hint
    with pytest.raises(GalleryLocked, match=f"{name} is indexing .* frames per minute"):
        Indexer(two, ColourEncoder(), frames_per_minute=3).run(photos)
    with pytest.raises(GalleryLocked, match=f"{name} is indexing this gallery, and these options would change"):
        Indexer(two, ColourEncoder()).run(photos, exclude=["*.tmp"])
    for purge in (False, True):
        with pytest.raises(GalleryLocked, match="is being written by process"):
            forget_paths(two, [photos / "0"], purge=purge)
    with two.writer(admits_runs=True):
        pass
    runs.open()
    assert report_of(one)["added"] == 6
    assert Indexer(two, ColourEncoder(name="other")).run(photos).counts.encoded_again == 6
    runs_left = "SELECT count(*) FROM indexers"
    with closing(ServerReader(runs.address, tmp_path)) as reader:
        assert reader.rows(runs_left)[0][0] == 0


def test_machines_with_other_mounts_at_once_do_not_move_each_others_pictures(runs: Runs, tmp_path: Path) -> None:
    here, there = tree(tmp_path / "one", 12), tmp_path / "two"
    shutil.copytree(here, there)
    two = runs.start("two", there, waits=True)  # it begins before it can know of the other one's folder
    assert report_of(runs.start("one", here))["added"] == 12
    here.rename(tmp_path / "away")  # as it always was on the other machine
    runs.open()
    report = report_of(two)
    assert (report["added"], report["moved"], report["retired"]) == (12, 0, 0)
    (tmp_path / "away").rename(here)
    runs.check(here, there)


def test_an_index_in_a_server_holds_what_all_runs_have_done(runs: Runs, tmp_path: Path) -> None:
    photos, index = tree(tmp_path / "photos", 60), postgres().address
    waiting = [runs.start(host, photos, waits=True, index=index) for host in ("one", "two")]
    runs.open()
    reports = [report_of(run) for run in waiting]
    assert total(reports, "encodings") == 60
    assert all(report["index"].startswith(index) for report in reports)
    runs.check(photos)


# What one transaction may do beside others


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[ServerCatalog, ServerCatalog]]:
    """Two runs of one catalog."""
    address = new_catalog()
    with (
        closing(ServerCatalog(address, tmp_path, [("runs", 0.0)])) as one,
        closing(ServerCatalog(address, tmp_path, [("runs", 0.0)])) as two,
    ):
        yield one, two


def shared(catalog: ServerCatalog) -> Leases:
    return catalog.share({"fingerprint": "", "model": ""}, lambda _: None)


def test_a_run_does_not_remove_what_another_one_has_added_or_moved(
    pair: tuple[ServerCatalog, ServerCatalog], tmp_path: Path
) -> None:
    one, two = pair
    encoder, folder = one.register_encoder(encoder_spec()), one.folder_id(str(tmp_path))
    one.commit(Batch(indexed=[image(folder, name) for name in ("gone.jpg", "old.jpg")]), encoder)
    shared(one)
    shared(two)
    two.commit(Batch(indexed=[image(folder, "new.jpg"), image(folder, "moved.jpg", "old.jpg")]), encoder)
    ids = {name: known[0] for name, known in one.known_files(folder, encoder).items()}
    assert set(ids) == {"gone.jpg", "moved.jpg", "new.jpg"}
    counts = one.commit(Batch(retired=sorted(ids.values())), encoder)  # as if its listing were older
    assert counts.retired == 1
    assert {name for name, known in one.known_files(folder, encoder).items() if known[3]} == {"gone.jpg"}


def test_a_file_that_was_taken_over_is_not_written(
    pair: tuple[ServerCatalog, ServerCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    encoder, folder = one.register_encoder(encoder_spec()), one.folder_id("/photos")
    first, second = shared(one), shared(two)
    files = {(folder, name): lease_key(folder, name) for name in ("a.jpg", "b.jpg")}
    assert first.claim(list(files.values())) == (set(files.values()), 0, {})
    first.files |= files
    key = files[folder, "a.jpg"]
    assert second.claim([key]).others == {key: f"process {first._own['pid']} on {first._own['host']}"}
    monkeypatch.setattr("retrieval.catalog.postgres.leases.LEASE_S", -1.0)
    assert second.claim([key]) == ({key}, 1, {})
    batch = Batch(indexed=[image(folder, "a.jpg"), image(folder, "b.jpg")])
    assert one.commit(batch, encoder).added == 1
    assert first.lost == [(folder, "a.jpg")] and not first.files
    second.files[folder, "a.jpg"] = key
    assert two.commit(Batch(indexed=[image(folder, "a.jpg", "newer")]), encoder).added == 1
    assert not second.lost and set(one.known_files(folder, encoder)) == {"a.jpg", "b.jpg"}


def test_an_index_in_a_server_is_changed_by_one_run_at_a_time(pair: tuple[ServerCatalog, ServerCatalog]) -> None:
    one, two = pair
    with one.index_turn() as is_ones, two.index_turn() as is_twos:
        assert is_ones and not is_twos
    with two.index_turn() as is_twos:
        assert is_twos


def test_a_run_that_is_stopped_in_a_transaction_does_not_hold_up_the_others(
    pair: tuple[ServerCatalog, ServerCatalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, two = pair
    with monkeypatch.context() as patched:
        patched.setattr(writer, "FOR_RUNS", "SET idle_in_transaction_session_timeout = 500")
        one = ServerCatalog(two._address, tmp_path, [("runs", 0.0)])
    with closing(one):
        with pytest.raises(ConnectionLost), one.transaction() as transaction:
            transaction.change()
            two.folder_id("/two")  # waits for the server, which ends what does nothing
            transaction.change()
            transaction.rows("SELECT 1")
        one.folder_id("/one")
        assert set(one.folders_below("/")) == {"/one", "/two"}
    with closing(ServerReader(two._address, tmp_path)) as reader:
        assert reader.change() == 0


def test_a_reader_that_follows_changes_misses_none(pair: tuple[ServerCatalog, ServerCatalog], tmp_path: Path) -> None:
    """A number is given to a transaction only when all that have a lower one are over."""
    one, two = pair
    encoder, folder = one.register_encoder(encoder_spec()), one.folder_id("/photos")
    written = threading.Event()

    def second() -> None:
        two.commit(Batch(indexed=[image(folder, "b.jpg")]), encoder)
        written.set()

    thread = threading.Thread(target=second)
    with closing(ServerReader(one._address, tmp_path)) as reader:
        with one.transaction() as transaction:
            number = transaction.change()
            thread.start()
            assert not written.wait(0.3) and reader.change() == number - 1
        thread.join()
        assert reader.change() == number + 1

        row, seen, change = reader.encoders()[0], set(), 0
        names = [f"{writer}-{n}.jpg" for writer in range(2) for n in range(20)]

        def write(catalog: ServerCatalog, own: list[str]) -> None:
            for name in own:
                catalog.commit(Batch(indexed=[image(folder, name)]), encoder)

        writers = [threading.Thread(target=write, args=each) for each in ((one, names[:20]), (two, names[20:]))]
        for writer in writers:
            writer.start()
        is_over = False
        while True:
            for piece in reader.changes(change, row):
                seen |= set(piece.touched.tolist())
                last = piece.last
            assert last is not None and last >= change
            change = last
            if is_over:
                break
            is_over = not any(writer.is_alive() for writer in writers)
        assert len(seen) == 41
