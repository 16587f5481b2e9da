"""A gallery whose index is in a server: the same answers, and nothing lost while the server is away."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from indexes import IndexSpec, read_manifest
from indexes.factory import connected
from indexes.overlay import Overlay
from retrieval import index_servers
from retrieval.errors import IndexUnreachable
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.maintenance.verify import verify
from retrieval.overview import overview
from retrieval.search.engine import QueryEngine
from tests.fakes import ColourEncoder
from tests.indexes.servers import Postgres, milvus_lite, postgres
from tests.pictures import save_picture

KINDS = {"milvus-lite": milvus_lite, "pgvector": lambda: postgres().address}


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest) -> str:
    return KINDS[request.param]()  # type: ignore[no-any-return]


def asked(gallery: Gallery, encoder: ColourEncoder) -> list[tuple[str, float]]:
    with QueryEngine(gallery, encoder, remember_texts=False) as engine:
        answers = engine.similar(1, k=10)
        return [(hit.image.path, round(hit.score, 6)) for hit in answers]


def kept(address: str) -> list[str]:
    """The collections of galleries in a server."""
    server = connected(IndexSpec.parse(address))  # type: ignore[arg-type]
    try:
        return [name for name in server.names("photoseek_") if name != "photoseek_notes"]
    finally:
        server.close()


def folder_of(gallery: Gallery) -> Path:
    with gallery.reader() as reader:
        return gallery.index_path(reader.encoders()[0].fingerprint)


def test_a_gallery_moves_into_a_server_and_back(
    address: str, indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, others = asked(indexed, encoder), set(kept(address))
    assert read_manifest(folder_of(indexed)) is not None
    report = Indexer(indexed, encoder).run(photos, index_spec=address)
    assert report.index is not None
    assert report.index.startswith(address)
    assert read_manifest(folder_of(indexed)) is None
    assert len(set(kept(address)) - others) == 1
    assert asked(indexed, encoder) == before
    with indexed.reader() as reader:
        row = reader.encoders()[0]
        opened = indexed.open_index(reader, row)
        assert isinstance(opened, Overlay)
        opened.close()
        facts = overview(indexed, reader)
    assert facts["index"].startswith(address)
    assert facts["index_reason"] == "asked for with --index"
    save_picture(photos / "late.png", "green", seed=77)
    (photos / "red-2.png").unlink()
    assert Indexer(indexed, encoder).run(photos).counts.added == 1
    expected = asked(indexed, encoder)
    assert any("late.png" in path for path, _ in expected)
    assert {found.state for found in verify(indexed) if found.part == "index"} == {"sound"}
    Indexer(indexed, encoder).run(photos, index_spec="auto")
    assert asked(indexed, encoder) == expected
    assert set(kept(address)) == others


def test_an_address_is_used_on_the_word_of_this_person_only(
    address: str,
    indexed: Gallery,
    photos: Path,
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The catalog may come from a stranger: no connection is made to where it points."""
    Indexer(indexed, encoder).run(photos, index_spec=address)
    expected = asked(indexed, encoder)
    monkeypatch.setattr(index_servers, "_named", set())
    monkeypatch.setattr(index_servers, "connected", lambda spec: pytest.fail("it connected"))
    with caplog.at_level(logging.WARNING):
        assert asked(indexed, encoder) == expected
    assert "not among your servers" in caplog.text
    assert "photoseek config set index.servers" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("PHOTOSEEK_INDEX_SERVERS", address)
    assert asked(indexed, encoder) == expected
    Indexer(indexed, encoder).run(photos, index_spec="auto")


def test_while_its_server_is_away_a_gallery_is_searched_and_indexed(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    server = Postgres()
    Indexer(gallery, encoder).run(photos, index_spec=server.address)
    with QueryEngine(gallery, encoder, remember_texts=False) as engine:
        whole = [(hit.image.path, round(hit.score, 6)) for hit in engine.similar(1, k=10)]
        server.crash()
        with caplog.at_level(logging.WARNING):  # in the middle: between two searches of one process
            assert [(hit.image.path, round(hit.score, 6)) for hit in engine.similar(1, k=10)] == whole
        assert "does not answer" in caplog.text
        assert "the catalog is searched" in caplog.text
    save_picture(photos / "late.png", "green", seed=77)
    report = Indexer(gallery, encoder).run(photos)
    assert report.counts.added == 1
    assert report.index is not None
    assert report.index.startswith("not up to date: ")
    assert any("late.png" in path for path, _ in asked(gallery, encoder))
    found = next(found for found in verify(gallery) if found.part == "index")
    assert (found.state, "does not answer" in found.message) == ("note", True)
    with pytest.raises(IndexUnreachable, match="does not answer") as told:
        Indexer(gallery, encoder).run(photos, index_spec=f"{server.address}?index=FLAT")
    assert len(str(told.value).splitlines()) == 2
    server.start()
    caplog.clear()
    report = Indexer(gallery, encoder).run(photos)
    assert report.index is not None
    assert report.index.startswith(server.address)
    assert any("late.png" in path for path, _ in asked(gallery, encoder))
    assert not caplog.records
    server.stop()


def test_a_wrong_password_is_told_and_is_nowhere_kept(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Postgres(password="opensesame")
    monkeypatch.setenv("PGPASSWORD", "closesesame")
    with pytest.raises(IndexUnreachable, match="refuses access") as told:
        Indexer(gallery, encoder).run(photos, index_spec=server.address)
    assert "sesame" not in str(told.value)
    monkeypatch.setenv("PGPASSWORD", "opensesame")
    Indexer(gallery, encoder).run(photos, index_spec=server.address)
    with gallery.reader() as reader:
        assert "sesame" not in json.dumps(overview(gallery, reader), default=str)
    assert not any(b"sesame" in path.read_bytes() for path in gallery.path.rglob("*") if path.is_file())
    server.stop()
