"""Groups of a gallery: every picture is in one, nearest first, with distinctive names."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.records import ImageRecord
from retrieval.catalog.stored import sampled_vectors
from retrieval.encoders.base import unit
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.overview_maps.atlas import Atlas, Place
from retrieval.overview_maps.groups import group_gallery, name_groups, usual_count
from retrieval.overview_maps.layout import choose_method, lay_out, pca
from retrieval.overview_maps.page import write_atlas_page
from tests.fakes import COLOURS, ColourEncoder
from tests.pictures import save_picture

pytest.importorskip("faiss")
NAMES = ("red", "green", "blue", "yellow", "white")


@pytest.fixture
def colours(gallery: Gallery, encoder: ColourEncoder, tmp_path: Path) -> Gallery:
    """Twelve red pictures, six green, three blue."""
    for colour, count in (("red", 12), ("green", 6), ("blue", 3)):
        for seed in range(count):
            save_picture(tmp_path / "p" / colour / f"{seed}.png", colour, seed=seed)
    Indexer(gallery, encoder).run(tmp_path / "p")
    return gallery


def test_groups_and_names(colours: Gallery, encoder: ColourEncoder) -> None:
    found = group_gallery(colours, 3, encoder=encoder, labels=NAMES, templates=("{}",))
    assert (found.encoder, found.pictures) == ("colour", 21)
    assert [(group.name, len(group.ids)) for group in found.groups] == [("red", 12), ("green", 6), ("blue", 3)]
    with colours.reader() as reader:
        row = reader.encoders()[0]
        for group in found.groups:
            assert {Path(image.path).parent.name for image in reader.records(group.ids.tolist())} == {group.name}
            vectors = reader.vectors(group.ids.tolist(), row)
            cosines = vectors @ unit(vectors.mean(axis=0, keepdims=True))[0]
            assert (np.diff(cosines) <= 1e-4).all()
            assert group.cohesion == pytest.approx(float(cosines.mean()), abs=1e-4)
            assert [image.id for image in group.pictures] == group.ids[:12].tolist()
    again = group_gallery(colours, 3, encoder=encoder, labels=NAMES, templates=("{}",))
    assert [group.ids.tolist() for group in again.groups] == [group.ids.tolist() for group in found.groups]


def test_small_groups_are_given_up(colours: Gallery, encoder: ColourEncoder) -> None:
    found = group_gallery(colours, 3, min_size=5, encoder=encoder, labels=NAMES, templates=("{}",))
    assert sorted(len(group.ids) for group in found.groups)[0] >= 5 and sum(len(g.ids) for g in found.groups) == 21
    assert len(group_gallery(colours, 3, min_size=100, encoder=encoder, labels=NAMES, templates=("{}",)).groups) == 1


def test_only_what_is_filtered(colours: Gallery, encoder: ColourEncoder, tmp_path: Path) -> None:
    found = group_gallery(colours, 2, where=Filter(under=(tmp_path / "p" / "green",)), encoder=encoder, labels=NAMES)
    assert found.pictures == 6
    assert group_gallery(colours, where=Filter(min_width=4000), encoder=encoder, labels=NAMES).groups == ()
    with pytest.raises(QueryError, match="of 3 pictures"):
        group_gallery(colours, 4, where=Filter(under=(tmp_path / "p" / "blue",)), encoder=encoder)


def test_an_encoder_without_words_names_nothing(
    gallery: Gallery, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = ColourEncoder(has_text=False)
    Indexer(gallery, encoder).run(photos)
    found = group_gallery(gallery, 2, encoder=encoder)
    assert [group.labels for group in found.groups] == [(), ()] and "knows no words" in caplog.text


def test_how_many_groups() -> None:
    assert [usual_count(n) for n in (1, 2, 120, 860, 5000, 10**6)] == [1, 1, 8, 21, 50, 60]


def test_names_tell_apart_and_differ() -> None:
    classes = unit(np.eye(4, dtype=np.float32)[:, :4])
    labels = ("photo", "a", "b", "c")
    # All are near "photo"; two groups are near "a", one of them more.
    means = np.array([[0.9, 0.5, 0.1, 0.0], [0.9, 0.6, 0.0, 0.1], [0.8, 0.0, 0.3, 0.2]])
    named = name_groups(means, means.mean(axis=0), classes, labels, 2)
    assert [names[0] for names in named][1:] == ["a", "b"] and len({names[0] for names in named}) == 3
    assert "photo" not in [names[0] for names in named[1:]]
    # Fewer labels than groups: each group has one all the same.
    assert [names[0] for names in name_groups(means, means.mean(axis=0), classes[:2], labels[:2], 1)][1] == "a"


def test_a_sample_is_even_and_the_same_twice(colours: Gallery) -> None:
    with colours.reader() as reader:
        row = reader.encoders()[0]
        ids, vectors = sampled_vectors(reader, row, 9)
        again, _ = sampled_vectors(reader, row, 9)
        assert len(ids) == 9 == len(set(ids.tolist())) and np.array_equal(ids, again)
        np.testing.assert_array_equal(vectors, reader.vectors(ids.tolist(), row))
        some = np.arange(3, 9)
        assert sampled_vectors(reader, row, 100, some)[0].tolist() == some.tolist()


def test_pca_is_the_two_widest_directions() -> None:
    rng = np.random.default_rng(2)
    vectors = (rng.normal(size=(200, 8)) * np.array([9, 5, 1, 1, 1, 1, 1, 1])).astype(np.float32)
    places = pca(vectors)
    _, values, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(places, axis=0), values[:2], rtol=1e-4)
    np.testing.assert_allclose(np.abs(places), np.abs((vectors - vectors.mean(axis=0)) @ axes[:2].T), atol=1e-3)
    assert np.array_equal(places, pca(vectors))
    laid = lay_out(vectors, "pca")
    assert np.abs(laid).max() == pytest.approx(1) and np.corrcoef(laid[:, 0], places[:, 0])[0, 1] > 0.999
    assert np.isfinite(lay_out(vectors[:1], "pca")).all()


def test_umap_keeps_neighbours_together() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(2)
    which = np.repeat(np.arange(3), 30)
    vectors = unit((np.eye(16)[which] + 0.1 * rng.normal(size=(90, 16))).astype(np.float32))
    places = lay_out(vectors, choose_method("auto", 90))
    assert np.array_equal(places, lay_out(vectors, "umap"))
    middles = np.stack([places[which == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    assert np.array_equal(nearest, which)


def test_names_in_a_map_are_data(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    record = ImageRecord(1, f"/p/{evil}.jpg", 1, 1, "JPEG", 4, 4, None, None, None, None, None, b"")
    write_atlas_page(Atlas("m", "pca", 1, (Place(record, 0.0, 0.0),)), tmp_path / "m.html")
    text = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert text.count("<script") == 2 and text.count("</script>") == 2
    assert json.loads(re.search(r'id="places">(.*?)</script>', text, re.DOTALL)[1])[0][4] == record.path  # type: ignore[index]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in text
    assert set(NAMES) == set(COLOURS)
