"""Tuning a gallery: with its own pictures and with words, what is kept, and that searches go by it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexes import Effort, IndexSpec
from indexes.base import DEFAULT_EFFORT
from indexes.faiss_index import FaissIndex
from retrieval.errors import GalleryError, GalleryNotFound, SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.overview import overview, write_overview
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from retrieval.search.tuning import CAPTIONS, tune_gallery, verdict, write_report
from retrieval.tuned import TUNING_NAME, Tuning, read_tuning, tuned_effort, tuning_text, write_tuning
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder

SPEC = IndexSpec.parse("HNSW8")
KEPT = Tuning("HNSW8", Effort(ef_search=32), 10, 0.99, {"pictures": 0.9912, "texts": 1.0}, 0.25, 120)


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Gallery]:
    """A gallery of the example photos with an index that has a knob."""
    from retrieval.encoders.registry import load_encoder

    gallery = Gallery(tmp_path / "graph")
    Indexer(gallery, load_encoder("builtin-224")).run(EXAMPLES, index_spec="HNSW8")
    yield gallery


def folder_of(gallery: Gallery) -> Path:
    with gallery.reader() as reader:
        return gallery.index_path(gallery.active_encoder(reader).fingerprint)


def test_a_gallery_is_tuned_with_its_pictures_and_with_words(graph: Gallery) -> None:
    report = tune_gallery(graph, target=0.95, rounds=1)
    assert report.chosen is not None and report.spec == SPEC
    assert set(report.chosen.recall) == {"pictures", "texts"}
    kept = read_tuning(folder_of(graph), SPEC)
    assert kept is not None
    assert (kept.effort, kept.recall, kept.images) == (report.chosen.effort, report.chosen.recall, 120)
    assert f"HNSW8 searches with ef_search {kept.effort.ef_search} from now on" in verdict(report)


def test_searches_go_by_what_was_kept(graph: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Effort] = []
    original = FaissIndex.search

    def spy(self: FaissIndex, *arguments: Any, effort: Effort = DEFAULT_EFFORT, **options: Any) -> Any:
        seen.append(effort)
        return original(self, *arguments, effort=effort, **options)

    monkeypatch.setattr(FaissIndex, "search", spy)
    with QueryEngine(graph) as engine:
        engine.search(Query.text("a dog"))
    write_tuning(folder_of(graph), KEPT)
    with QueryEngine(graph) as engine:
        engine.search(Query.text("a dog"))
    assert seen == [DEFAULT_EFFORT, Effort(ef_search=32)]


def test_the_next_index_run_keeps_it_and_another_kind_does_not_use_it(graph: Gallery) -> None:
    from retrieval.encoders.registry import load_encoder

    write_tuning(folder_of(graph), KEPT)
    Indexer(graph, load_encoder("builtin-224")).run()
    assert read_tuning(folder_of(graph), SPEC) == KEPT
    Indexer(graph, load_encoder("builtin-224")).run(index_spec="HNSW16")
    assert read_tuning(folder_of(graph), IndexSpec.parse("HNSW16")) is None
    with QueryEngine(graph) as engine:
        assert len(engine.search(Query.text("a dog"))) == 10


def test_info_tells_the_effort_and_what_it_reached(graph: Gallery) -> None:
    def shown() -> tuple[dict[str, Any], str]:
        out = io.StringIO()
        with graph.reader() as reader:
            write_overview(graph, reader, out)
            return overview(graph, reader), out.getvalue()

    facts, text = shown()
    assert facts["tuning"] is None and "ef_search 256 (the default; measure yours: photoseek tune)" in text
    assert "HNSW8 (asked for with --index)" in text
    write_tuning(folder_of(graph), KEPT)
    facts, text = shown()
    assert facts["tuning"]["effort"]["ef_search"] == 32
    assert tuning_text(KEPT) in text
    assert "ef_search 32 (recall@10 0.991 for pictures, 1.000 for texts; measured at 120 pictures)" in text


def test_a_turned_bit_of_what_was_kept_is_noticed(graph: Gallery) -> None:
    """ef_search 32 would be 22: as valid, and worse."""
    write_tuning(folder_of(graph), KEPT)
    path = folder_of(graph) / TUNING_NAME
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_tuning(folder_of(graph), SPEC) in (KEPT, None)
    body = json.loads(whole)
    del body["checksum"]
    path.write_text(json.dumps(body))  # as it was written before there were checksums
    assert read_tuning(folder_of(graph), SPEC) == KEPT


def test_an_exact_gallery_has_nothing_to_tune(indexed: Gallery, encoder: ColourEncoder) -> None:
    report = tune_gallery(indexed, encoder, rounds=1)
    assert report.chosen is not None and report.chosen.recall == {"pictures": 1.0, "texts": 1.0}
    assert "nothing to tune" in verdict(report)
    assert not (folder_of(indexed) / TUNING_NAME).exists()
    with indexed.reader() as reader:
        assert overview(indexed, reader)["effort"] is None


def test_a_model_without_words_is_tuned_with_pictures_alone(gallery: Gallery, photos: Path) -> None:
    seeing = ColourEncoder(has_text=False)
    Indexer(gallery, seeing).run(photos)
    report = tune_gallery(gallery, seeing, rounds=1)
    assert report.chosen is not None and set(report.chosen.recall) == {"pictures"}


def test_a_target_out_of_reach_leaves_what_was_kept(graph: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tuning(folder_of(graph), KEPT)
    monkeypatch.setattr("indexes.tuning.ann_recall_at_k", lambda *_: 0.5)
    report = tune_gallery(graph, rounds=1)
    assert report.chosen is None
    assert "no setting of HNSW8 reaches recall@10 0.99" in verdict(report)
    assert read_tuning(folder_of(graph), SPEC) == KEPT


@pytest.mark.parametrize(("target", "k"), [(0.0, 10), (1.5, 10), (float("nan"), 10), (0.9, 0)])
def test_what_makes_no_sense_is_refused(indexed: Gallery, target: float, k: int) -> None:
    with pytest.raises(SettingsError):
        tune_gallery(indexed, target=target, k=k)


def test_nothing_indexed(gallery: Gallery) -> None:
    with pytest.raises(GalleryNotFound):
        tune_gallery(gallery)


def test_a_kept_setting_comes_back_as_it_was(tmp_path: Path) -> None:
    write_tuning(tmp_path / "new", KEPT)
    assert read_tuning(tmp_path / "new", SPEC) == KEPT
    assert [path.name for path in (tmp_path / "new").iterdir()] == [TUNING_NAME]
    assert tuned_effort(tmp_path / "new", SPEC) == Effort(ef_search=32)
    assert tuned_effort(tmp_path / "new", IndexSpec.parse("HNSW9")) == DEFAULT_EFFORT
    assert read_tuning(tmp_path, SPEC) is None


def changed(**values: Any) -> str:
    body = {
        "spec": "HNSW8",
        "effort": {"nprobe": None, "ef_search": 32, "k_factor": None},
        "k": 10,
        "target": 0.99,
        "recall": {"pictures": 0.99},
        "p50_ms": 0.2,
        "images": 5,
    }
    return json.dumps({**body, **values})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"HNSW8"',
        "[" * 100_000,
        changed(effort=None),
        changed(effort={"ef_search": 32}),
        changed(effort={"nprobe": None, "ef_search": 0, "k_factor": None}),
        changed(effort={"nprobe": None, "ef_search": -3, "k_factor": None}),
        changed(effort={"nprobe": None, "ef_search": True, "k_factor": None}),
        changed(effort={"nprobe": None, "ef_search": 1e9, "k_factor": None}),
        changed(effort={"nprobe": None, "ef_search": 10**12, "k_factor": None}),
        changed(effort={"nprobe": None, "ef_search": "32", "k_factor": None}),
        changed(recall=[0.9]),
        changed(k="ten"),
        changed(images=None),
        changed(spec=["HNSW8"]),
        changed(padding="x" * 70_000),
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / TUNING_NAME).write_text(changed())
    assert read_tuning(tmp_path, SPEC) is not None
    (tmp_path / TUNING_NAME).write_text(text)
    assert read_tuning(tmp_path, SPEC) is None
    assert tuned_effort(tmp_path, SPEC) == DEFAULT_EFFORT


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file")
    with pytest.raises(GalleryError, match="cannot write"):
        write_tuning(tmp_path / "index", KEPT)


def test_the_table_is_for_people_on_a_terminal_and_for_programs_elsewhere(graph: Gallery) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    report = tune_gallery(graph, target=0.9, rounds=1)
    plain, table = io.StringIO(), Terminal()
    write_report(report, plain)
    write_report(report, table)
    rows = [line.split("\t") for line in plain.getvalue().splitlines()]
    assert rows[0] == ["effort", "recall@10 pictures", "recall@10 texts", "p50 ms", "p99 ms", "chosen"]
    assert len(rows) == len(report.trials) + 1 and {len(row) for row in rows} == {6}
    assert [row[5] for row in rows[1:]] == ["*" if trial is report.chosen else "" for trial in report.trials]
    assert [float(row[1]) for row in rows[1:]] == [round(t.recall["pictures"], 4) for t in report.trials]
    assert "\t" not in table.getvalue()
    assert len({line.index("p50") for line in table.getvalue().splitlines() if "p50" in line}) == 1


def test_captions_are_many_and_different() -> None:
    assert len(set(CAPTIONS)) == len(CAPTIONS) == 64
    assert all(caption == caption.strip().lower() for caption in CAPTIONS)
