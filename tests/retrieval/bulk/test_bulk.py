"""Embeddings as files: what goes out comes back bit for bit, and only for the same files and the same model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs photoseek[bulk]")

import pyarrow as pa
import pyarrow.parquet as pq

from retrieval.bulk.exporting import DESCRIPTION, Form, export_embeddings
from retrieval.bulk.importing import import_embeddings
from retrieval.catalog.embeddings import half_vectors
from retrieval.errors import EncoderMismatch, SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.search.engine import QueryEngine
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture

forms = pytest.mark.parametrize("form", ["npy", "parquet"])


def exported(gallery: Gallery, folder: Path, form: Form, **options: Any) -> Path:
    with gallery.reader() as reader:
        export_embeddings(reader, reader.encoders()[0], folder, form, **options)
    return folder


def stored(gallery: Gallery) -> dict[str, bytes]:
    """Path below the photos -> the very bits of the embedding."""
    with gallery.reader() as reader:
        row = reader.encoders()[0]
        records = reader.records([*range(1, 100)])
        ids, halves = half_vectors(reader, [record.id for record in records], row)
        vectors = dict(zip(ids.tolist(), halves, strict=True))
        return {record.path.partition("photos" + os.sep)[2]: vectors[record.id].tobytes() for record in records}


def answers(gallery: Gallery, encoder: ColourEncoder) -> list[tuple[str, float]]:
    with QueryEngine(gallery, encoder, remember_texts=False) as engine:
        query = engine.similar(engine.reader.records([*range(1, 20)])[0].id, k=10)
        return sorted((Path(hit.image.path).name, round(hit.score, 6)) for hit in query)


@forms
def test_what_is_exported_is_imported_bit_for_bit(
    form: Form, indexed: Gallery, photos: Path, encoder: ColourEncoder, tmp_path: Path
) -> None:
    folder = exported(indexed, tmp_path / "out", form, shard_rows=4)
    other = Gallery(tmp_path / "other")
    report = import_embeddings(other, folder, photos, encoder=encoder)
    assert (report.imported, report.rows) == (len(PHOTOS), len(PHOTOS))
    assert stored(other) == stored(indexed)
    with indexed.reader() as here, other.reader() as there:
        for mine, theirs in zip(here.records([*range(1, 20)]), there.records([*range(1, 20)]), strict=True):
            assert (mine.content_hash, mine.width, mine.colour, mine.taken_at, mine.camera) == (
                theirs.content_hash, theirs.width, theirs.colour, theirs.taken_at, theirs.camera,
            )  # fmt: skip
    assert answers(other, encoder) == answers(indexed, encoder)
    again = import_embeddings(other, folder, photos, encoder=encoder)
    assert (again.imported, again.known) == (0, len(PHOTOS))
    run = Indexer(other, encoder).run(photos)
    assert run.encoded == 0
    assert run.images == len(PHOTOS)


@forms
def test_a_moved_folder_of_pictures_keeps_its_embeddings(
    form: Form, indexed: Gallery, photos: Path, encoder: ColourEncoder, tmp_path: Path
) -> None:
    """As on another machine: other paths and times, the same bytes; one file is another, one is not there."""
    folder = exported(indexed, tmp_path / "out", form)
    away = tmp_path / "drive" / "photos"
    shutil.copytree(photos, away, copy_function=shutil.copyfile)
    (away / "green.jpg").unlink()
    save_picture(away / "red-1.jpg", "blue", seed=9)
    other = Gallery(tmp_path / "other")
    report = import_embeddings(other, folder, away, encoder=encoder)
    assert (report.imported, report.missing, report.changed) == (len(PHOTOS) - 2, 1, 1)
    expected = {name: bits for name, bits in stored(indexed).items() if name not in ("green.jpg", "red-1.jpg")}
    assert stored(other) == expected
    assert Indexer(other, encoder).run(away).encoded == 1


def test_the_numpy_form_is_the_one_of_clip_retrieval(indexed: Gallery, photos: Path, tmp_path: Path) -> None:
    folder = exported(indexed, tmp_path / "out", "npy")
    matrix = np.load(folder / "img_emb" / "img_emb_0.npy", allow_pickle=False)
    table = pq.read_table(folder / "metadata" / "metadata_0.parquet")
    assert matrix.dtype == np.float16
    assert len(matrix) == table.num_rows == len(PHOTOS)
    assert set(table.column("image_path").to_pylist()) == {str(photos / name) for name in PHOTOS}
    assert json.loads((folder / DESCRIPTION).read_text())["pictures"] == len(PHOTOS)
    with pytest.raises(SettingsError, match="not an empty folder"):
        exported(indexed, folder, "npy")


def foreign(folder: Path, rows: dict[str, Any], *, is_laion: bool = False, dtype: Any = np.float32) -> Path:
    """Embeddings as clip-retrieval or LAION's data sets have them: path -> vector."""
    matrices, tables = (folder, folder) if is_laion else (folder / "img_emb", folder / "metadata")
    matrices.mkdir(parents=True, exist_ok=True)
    tables.mkdir(exist_ok=True)
    np.save(matrices / "img_emb_0.npy", np.array(list(rows.values()), dtype))
    pq.write_table(pa.table({"image_path": list(rows), "caption": ["x"] * len(rows)}), tables / "metadata_0.parquet")
    return folder


@pytest.mark.parametrize("is_laion", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_embeddings_of_other_programs_are_imported(
    is_laion: bool, dtype: Any, indexed: Gallery, photos: Path, encoder: ColourEncoder, tmp_path: Path
) -> None:
    vectors = {name: np.frombuffer(bits, np.float16) for name, bits in stored(indexed).items()}
    rows = {str(photos / name): 3 * vector.astype(np.float32) for name, vector in vectors.items()}
    rows["green.jpg"] = rows.pop(str(photos / "green.jpg"))  # relative
    rows |= {"/elsewhere/a.jpg": rows["green.jpg"], "../out.jpg": rows["green.jpg"]}
    rows[str(photos / "red-1.jpg")] = np.full_like(rows["green.jpg"], np.nan)
    folder = foreign(tmp_path / "out", rows, is_laion=is_laion, dtype=dtype)
    other = Gallery(tmp_path / "other")
    report = import_embeddings(other, folder, photos, encoder=encoder)
    assert (report.imported, report.missing, report.unusable) == (len(PHOTOS) - 1, 2, 1)
    found = stored(other)
    for name, bits in found.items():
        mine = np.frombuffer(bits, np.float16).astype(np.float32)
        assert float(mine @ vectors[name].astype(np.float32)) > 0.999
    assert Indexer(other, encoder).run(photos).encoded == 1


def test_embeddings_of_another_model_are_refused(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, tmp_path: Path
) -> None:
    dim = encoder.spec.dim
    turned = {str(photos / name): np.roll(np.frombuffer(bits, np.float16), 1) for name, bits in stored(indexed).items()}
    other = Gallery(tmp_path / "other")
    with pytest.raises(EncoderMismatch, match="median cosine"):
        import_embeddings(other, foreign(tmp_path / "turned", turned), photos, encoder=encoder)
    wide = {str(photos / name): np.ones(dim + 1) for name in PHOTOS}
    with pytest.raises(EncoderMismatch, match=f"{dim + 1} numbers, not {dim}"):
        import_embeddings(other, foreign(tmp_path / "wide", wide), photos, encoder=encoder)
    folder = exported(indexed, tmp_path / "own", "parquet")
    description = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(description | {"fingerprint": "f" * 64}))
    with pytest.raises(EncoderMismatch, match="ffffffffffff"):
        import_embeddings(other, folder, photos, encoder=encoder)
    assert not other.exists()


def test_damaged_and_foreign_files_are_told_in_two_lines(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, tmp_path: Path
) -> None:
    other = Gallery(tmp_path / "other")

    def told(folder: Path) -> str:
        with pytest.raises(SettingsError) as error:
            import_embeddings(other, folder, photos, encoder=encoder)
        assert len(str(error.value).splitlines()) == 2
        return error.value.message

    assert "holds no embeddings" in told(tmp_path)
    folder = exported(indexed, tmp_path / "cut", "parquet")
    table = folder / "embeddings" / "embeddings_0.parquet"
    table.write_bytes(table.read_bytes()[:-40])
    assert "cannot be read" in told(folder)
    table.unlink()
    assert "lacks some of its" in told(folder)
    (folder / DESCRIPTION).unlink()
    assert "was not finished" in told(folder)
    pickled = foreign(tmp_path / "pickled", {str(photos / name): np.ones(4) for name in PHOTOS})
    np.save(pickled / "img_emb" / "img_emb_0.npy", np.array([{}] * len(PHOTOS), object), allow_pickle=True)
    assert "cannot be read" in told(pickled)
    short = foreign(tmp_path / "short", {str(photos / name): np.ones(4) for name in PHOTOS})
    np.save(short / "img_emb" / "img_emb_0.npy", np.ones((2, 4), np.float32))
    assert "cannot be read" in told(short)
    urls = foreign(tmp_path / "urls", {"a": np.ones(4)}, is_laion=True)
    pq.write_table(pa.table({"url": ["x"]}), urls / "metadata_0.parquet")
    assert "no column image_path" in told(urls)
