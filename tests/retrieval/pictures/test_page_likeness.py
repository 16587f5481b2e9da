"""Pages are told from photos by their pixels, whatever is printed on them; and by the text that was read in them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.documents import KINDS, drawn_page
from retrieval.catalog.texts import PAGE_LETTERS, PictureText, TextLine, write_texts
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.pictures.images import is_page
from retrieval.pictures.page_likeness import looks_like_page, page_features
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder
from tests.retrieval.states import ids, rows


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_told_by_their_pixels(kind: str) -> None:
    found = [looks_like_page(drawn_page(kind, seed)) for seed in range(100, 106)]
    assert sum(found) >= 5, found
    page = drawn_page(kind, 100)
    for turned in (page.rotate(90, expand=True), page.rotate(180), page.convert("L"), page.convert("RGBA")):
        assert looks_like_page(turned)


def test_photos_are_hardly_ever_taken_for_pages() -> None:
    files = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))[::3]
    taken = [path.name for path in files if is_page(path.read_bytes())]
    assert len(files) >= 35 and len(taken) <= 2, taken


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (5000, 3), (40, 40)])
@pytest.mark.parametrize("colour", ["white", "black"])
def test_odd_pictures(size: tuple[int, int], colour: str) -> None:
    assert not looks_like_page(Image.new("RGB", size, colour)) or colour == "white"
    found = page_features(Image.new("L", size, colour))
    assert found is None or found.shape == (4,)


def test_what_cannot_be_decoded_is_not_known() -> None:
    assert is_page(b"") is None and is_page(b"\xff\xd8\xff broken") is None


@pytest.fixture
def desk(tmp_path: Path, gallery: Gallery, encoder: ColourEncoder) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    drawn_page("document", 3).save(folder / "letter.png")
    for name in ("animals/dog.jpg", "flowers/rose.jpg"):
        (folder / Path(name).name).write_bytes((EXAMPLES / name).read_bytes())
    Indexer(gallery, encoder).run(folder)
    return folder


def documents(gallery: Gallery) -> set[str]:
    with gallery.reader() as reader:
        records = reader.records(reader.select(Filter(kind="document")).tolist())
        others = reader.records(reader.select(Filter(no_kind="document")).tolist())
        assert len(records) + len(others) == reader.count()
    return {Path(record.path).name for record in records}


def test_a_gallery_knows_its_documents(desk: Path, gallery: Gallery, encoder: ColourEncoder) -> None:
    assert documents(gallery) == {"letter.png"}
    # Text makes a document of a picture that does not look like one, and it stays one with another model.
    with gallery.reader() as reader:
        dog, rose = (reader.records([ids(gallery, encoder, desk)[name]])[0] for name in ("dog.jpg", "rose.jpg"))

    def text(letters: int) -> PictureText:
        return PictureText("m", "2024-01-01T00:00:00+00:00", (TextLine("x" * letters, 0.9, (0,) * 8),))

    with gallery.writer() as catalog, catalog.transaction() as transaction:
        long, short = text(PAGE_LETTERS), text(PAGE_LETTERS - 1)
        write_texts(transaction, [(dog.content_hash, long), (rose.content_hash, short)])
    assert documents(gallery) == {"letter.png", "dog.jpg"}
    Indexer(gallery, ColourEncoder(name="another")).run(desk)
    assert documents(gallery) == {"letter.png", "dog.jpg"}


def test_pictures_indexed_before_are_looked_at_again(desk: Path, gallery: Gallery, encoder: ColourEncoder) -> None:
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        transaction.run("UPDATE images SET is_page = NULL")
    assert documents(gallery) == set()
    report = Indexer(gallery, encoder).run(desk, verify_content=True)
    assert report.encoded == 0 and documents(gallery) == {"letter.png"}
    assert rows(gallery, "SELECT count(*) FROM images WHERE is_page IS NULL") == [(0,)]


def test_a_damaged_file_says_nothing(desk: Path) -> None:
    page = io.BytesIO()
    drawn_page("receipt", 1).save(page, "PNG")
    assert is_page(page.getvalue()) is True
    assert is_page(page.getvalue()[: len(page.getvalue()) // 4]) is None
