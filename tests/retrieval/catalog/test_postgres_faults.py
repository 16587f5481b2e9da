"""PostgreSQL is down, crashes, restarts, refuses; the network is cut. Errors are told, and nothing is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
from retrieval.catalog.batch import Batch, Counts
from retrieval.catalog.labels import add_said, tag_counts
from retrieval.catalog.postgres import connect
from retrieval.catalog.postgres.address import CatalogAddress, name_address
from retrieval.catalog.postgres.connect import CatalogUnreachable, ConnectionLost, open_connection
from retrieval.catalog.postgres.reader import ServerReader
from retrieval.catalog.postgres.writer import ServerCatalog
from retrieval.errors import GalleryLocked
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.making import make_in_server
from tests.fakes import ColourEncoder
from tests.indexes.servers import Postgres, free_port
from tests.retrieval.catalog.servers import administer, new_catalog
from tests.retrieval.rows import encoder_spec, image


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be ended."""
    made = Postgres()
    yield made
    made.stop()


@pytest.fixture
def address(server: Postgres) -> CatalogAddress:
    return new_catalog(server)


def crash_and_start(server: Postgres) -> None:
    server.crash()
    server.start()


# The server


def test_a_server_that_is_down_is_told_in_two_lines(tmp_path: Path) -> None:
    address = CatalogAddress("127.0.0.1", free_port(), "tests", "photos")
    name_address(address)
    gallery = Gallery(tmp_path)
    (tmp_path / "catalog.toml").write_text(f'address = "{address}"')
    for act in (
        lambda: gallery.open_reader(),
        lambda: gallery.writer().__enter__(),
        lambda: gallery.labeller().__enter__(),
        lambda: make_in_server(gallery, address),
    ):
        with pytest.raises(CatalogUnreachable, match="does not answer") as told:
            act()
        assert told.value.exit_code == 3
        assert "\n" not in told.value.message and "nothing is lost" in told.value.hint


def test_every_picture_is_written_once_through_crashes_of_the_server(
    server: Postgres, address: CatalogAddress, tmp_path: Path
) -> None:
    stop, crashes = threading.Event(), 0

    def crash() -> None:
        nonlocal crashes
        while not stop.wait(0.3):
            crash_and_start(server)
            crashes += 1

    total = Counts()
    with closing(ServerCatalog(address, tmp_path, [("writer", 0.0)])) as catalog:
        encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos")
        thread = threading.Thread(target=crash)
        thread.start()
        try:
            number = 0
            while crashes < 4:
                number += 1
                batch = Batch(indexed=[image(folder, f"{number}-{n}.jpg") for n in range(5)])
                while True:
                    try:
                        total += catalog.commit(batch, encoder)
                        break
                    except ConnectionLost:  # twice in one commit: a run ends then, and the next one writes it
                        continue
        finally:
            stop.set()
            thread.join()
    with closing(ServerReader(address, tmp_path)) as reader:
        assert reader.count(encoder) == reader.count() == 5 * number
        assert reader.change() == number, "each batch is one transaction, and none was written twice"
    assert total == Counts(added=5 * number)


def test_an_indexing_run_goes_on_behind_a_restart(server: Postgres, tmp_path: Path, photos: Path) -> None:
    gallery, encoder = Gallery(tmp_path / "gallery"), ColourEncoder()
    make_in_server(gallery, new_catalog(server))
    restarted = False

    def restart() -> None:
        nonlocal restarted
        if not restarted:
            crash_and_start(server)
            restarted = True

    report = Indexer(gallery, encoder).run(photos, on_begin=restart)
    assert restarted and report.images == 6 and report.counts.added == 6
    again = Indexer(gallery, encoder).run(photos)
    assert (again.unchanged, again.counts.added) == (6, 0)


def test_a_reader_asks_again_on_a_new_connection(server: Postgres, address: CatalogAddress, tmp_path: Path) -> None:
    with closing(ServerReader(address, tmp_path)) as reader:
        assert reader.count() == 0
        crash_and_start(server)
        assert reader.count() == 0
        administer(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert reader.version()


def test_a_change_of_labels_that_was_cut_off_is_not_there(
    server: Postgres, address: CatalogAddress, tmp_path: Path
) -> None:
    with closing(ServerCatalog(address, tmp_path, [("labels", 0.0)])) as catalog:
        encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos")
        catalog.commit(Batch(indexed=[image(folder, "a.jpg")]), encoder)
        with pytest.raises(ConnectionLost), catalog.transaction() as transaction:
            add_said(transaction, "tags", [(1, "dog", "user")])
            crash_and_start(server)
            add_said(transaction, "tags", [(1, "cat", "user")])
        with catalog.transaction() as transaction:  # on a new connection
            add_said(transaction, "tags", [(1, "owl", "user")])
    with closing(ServerReader(address, tmp_path)) as reader:
        assert dict(tag_counts(reader)) == {"owl": 1}


def test_no_connection_left(server: Postgres, address: CatalogAddress, tmp_path: Path) -> None:
    with ExitStack() as opened, pytest.raises(CatalogUnreachable, match="has no connection left") as told:
        for _ in range(200):
            opened.enter_context(closing(ServerReader(address, tmp_path)))
    assert "max_connections" in told.value.hint


def test_a_question_that_takes_too_long(
    address: CatalogAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "setting", lambda _: 0.1)
    with closing(ServerReader(address, tmp_path)) as reader:
        with pytest.raises(CatalogUnreachable, match="took too long"):
            reader.rows("SELECT pg_sleep(60)")
        assert reader.count() == 0


def test_what_is_locked_by_others_is_not_waited_for_for_ever(
    address: CatalogAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "LOCK_MS", 100)
    with open_connection(address) as other, other.transaction():
        other.execute("LOCK TABLE folders")
        waiting = closing(ServerCatalog(address, tmp_path, []))
        with waiting as catalog, pytest.raises(CatalogUnreachable, match="locked by another program"):
            catalog.folder_id("/photos")


def test_a_wrong_password_is_told_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Postgres("right")
    try:
        monkeypatch.setenv("PGPASSWORD", "wrong-secret")
        with pytest.raises(CatalogUnreachable, match="refuses this user") as told:
            open_connection(CatalogAddress("127.0.0.1", server.port, "tests", "postgres"))
        assert "PGPASSWORD" in told.value.hint and "wrong-secret" not in told.value.message
        monkeypatch.setenv("PGPASSWORD", "right")
        open_connection(CatalogAddress("127.0.0.1", server.port, "tests", "postgres")).close()
        with pytest.raises(CatalogUnreachable, match="no such database") as told:
            open_connection(CatalogAddress("127.0.0.1", server.port, "tests", "nowhere"))
        assert "createdb" in told.value.hint
    finally:
        server.stop()


# Locks

HOLD = """
import sys, time
from pathlib import Path
from retrieval.catalog.postgres.address import name_address, read_address
from retrieval.gallery import Gallery
gallery = Gallery(sys.argv[1])
name_address(read_address(gallery.path))
with gallery.writer():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_process_that_was_killed_holds_no_lock(address: CatalogAddress, tmp_path: Path) -> None:
    one, two = Gallery(tmp_path / "one"), Gallery(tmp_path / "two")
    make_in_server(one, address)
    make_in_server(two, address)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(one.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(GalleryLocked, match=f"process {holder.pid} on "):
            two.writer().__enter__()
        holder.kill()
    until = time.monotonic() + 60
    while True:  # the server notices the end of a connection a moment later
        try:
            with two.writer():
                break
        except GalleryLocked:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_writer_that_lost_its_lock_does_not_write(
    server: Postgres, address: CatalogAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.catalog.postgres.writer.PATIENCE_S", 0.0)
    with closing(ServerCatalog(address, tmp_path, [("writer", 0.0)])) as first:
        first.folder_id("/photos")
        administer(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        with closing(ServerCatalog(address, tmp_path, [("writer", 10.0)])) as second:
            with pytest.raises(GalleryLocked):
                first.folder_id("/other")
            second.folder_id("/second")
    with closing(ServerReader(address, tmp_path)) as reader:
        assert [path for (path,) in reader.rows("SELECT path FROM folders ORDER BY 1")] == ["/photos", "/second"]


# The network


class Wire:
    """A connection to the server that a test can cut, before or behind what the client sends.

    Args:
        cuts: called with what the client sends; "before": it does not arrive; "behind": it does, and the answer does
            not. The next connections are whole.
    """

    def __init__(self, port: int, cuts: Callable[[bytes], str]) -> None:
        self._port, self._cuts, self.cut = port, cuts, 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=[client], daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._copy, args=[server, client], daemon=True)
            back.start()
            with suppress(OSError):
                while data := client.recv(65_536):
                    how = "" if self.cut else self._cuts(data)
                    if how:
                        self.cut += 1
                        client.shutdown(socket.SHUT_RDWR)
                        if how == "behind":
                            server.sendall(data)
                            server.shutdown(socket.SHUT_WR)
                        break
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join()

    @staticmethod
    def _copy(server: socket.socket, client: socket.socket) -> None:
        while True:
            try:
                data = server.recv(65_536)
            except OSError:
                return
            if not data:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
                return
            with suppress(OSError):
                client.sendall(data)


@pytest.mark.parametrize("how", ["before", "behind"])
@pytest.mark.parametrize("word", [b"COMMIT", b"COPY images", b"COPY embeddings", b"UPDATE state SET ver"])
def test_a_connection_that_is_cut_at_any_point_of_a_commit(
    server: Postgres, address: CatalogAddress, tmp_path: Path, how: str, word: bytes
) -> None:
    """Above all behind COMMIT: then only the server knows whether there was one."""
    is_armed = False
    with closing(Wire(server.port, lambda data: how if is_armed and word in data else "")) as wire:
        wired = replace(address, port=wire.port)
        with closing(ServerCatalog(wired, tmp_path, [("writer", 0.0)])) as catalog:
            encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos")
            is_armed = True
            counts = catalog.commit(Batch(indexed=[image(folder, "a.jpg"), image(folder, "b.jpg")]), encoder)
            assert wire.cut == 1
            assert counts == Counts(added=2)
            with closing(ServerReader(address, tmp_path)) as reader:
                assert (reader.count(), reader.change()) == (2, 1)
            catalog.commit(Batch(indexed=[image(folder, "c.jpg")]), encoder)
    with closing(ServerReader(address, tmp_path)) as reader:
        assert (reader.count(), reader.change()) == (3, 2)
