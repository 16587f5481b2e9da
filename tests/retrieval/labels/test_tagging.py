"""Predicted tags: the published arithmetic over stored embeddings, per encoder, all or nothing, no picture opened."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.catalog.labels import predicted_counts
from retrieval.errors import (
    EncoderMismatch,
    GalleryNotFound,
    QueryError,
    TextNotSupported,
    UnknownEncoder,
    UnknownImage,
)
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels import tagging
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import labels_of
from retrieval.labels.tagging import best_labels, tag_gallery
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture
from tests.retrieval.states import opened_below, rows

LABELS = ["Red", "green", "blue", "red and green"]
TEMPLATES = ["{}", "a photo of {}"]
ALL = "SELECT image_id, encoder_id, tag, probability FROM predicted_tags ORDER BY id"


def with_bias(bias: float | None, scale: float = 10.0, name: str = "colour") -> ColourEncoder:
    encoder = ColourEncoder(name=name)
    encoder.spec = replace(encoder.spec, logit_scale=scale, logit_bias=bias)
    return encoder


def predictions(gallery: Gallery) -> dict[str, dict[str, float]]:
    """File name -> tag -> probability, by the encoder that searches use."""
    with gallery.reader() as reader:
        found = labels_of(reader, reader.select(Filter()).tolist())
    return {Path(x.image.path).name: {p.tag: p.probability for p in x.predicted} for x in found}


@pytest.mark.parametrize("bias", [None, -9.0])
def test_probabilities_are_those_of_the_definition(indexed: Gallery, photos: Path, bias: float | None) -> None:
    encoder = with_bias(bias)
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, top=4, min_probability=0)
    classes = []
    for label in LABELS:  # written out: encode each prompt, normalise, mean, normalise
        prompts = [encoder.encode_texts([template.replace("{}", label)])[0] for template in TEMPLATES]
        mean = np.mean([p / np.linalg.norm(p) for p in prompts], axis=0)
        classes.append(mean / np.linalg.norm(mean))
    with indexed.reader() as reader:
        (row,) = reader.encoders()
        for record in reader.records(reader.select(Filter()).tolist()):
            logits = [10.0 * float(reader.vectors([record.id], row)[0] @ c) + (bias or 0) for c in classes]
            powers = np.exp(logits)
            expected = powers / powers.sum() if bias is None else powers / (1 + powers)
            got = predictions(indexed)[Path(record.path).name]
            assert list(got) == [LABELS[i].lower() for i in np.argsort(-expected, kind="stable")]
            assert [got[label.lower()] for label in LABELS] == pytest.approx(list(expected), abs=1e-6)


def test_top_and_least_probability_cut(indexed: Gallery) -> None:
    encoder = with_bias(None, 50.0)
    report = tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, top=1, min_probability=0)
    assert report.tags == {"red": 2, "blue": 2, "green": 1, "red and green": 1}
    assert (report.pictures, report.tagged, report.labels, report.encoder) == (6, 6, 4, "colour")
    assert predictions(indexed)["green.jpg"].keys() == {"green"}
    everything = tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, top=9, min_probability=0)
    assert sum(everything.tags.values()) == 6 * 4
    sure = {name: {t: p for t, p in found.items() if p >= 0.5} for name, found in predictions(indexed).items()}
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, top=9, min_probability=0.5)
    assert predictions(indexed) == sure
    nothing = tag_gallery(indexed, LABELS, TEMPLATES, encoder=with_bias(None, 1.0), min_probability=0.9)
    assert (nothing.tagged, nothing.tags, rows(indexed, ALL)) == (0, {}, [])


def test_no_picture_is_opened_and_the_index_has_nothing_to_replay(indexed: Gallery, photos: Path) -> None:
    encoder = with_bias(None)
    with indexed.reader() as reader:
        before = reader.change()
    with opened_below(photos) as opened:
        tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder)
    assert (opened, encoder.encoded) == ([], 0)
    with indexed.reader() as reader:
        assert reader.change() == before


@pytest.mark.parametrize("cells", [1, 9, 1 << 21])
def test_blocks_of_any_size_give_the_same_rows(indexed: Gallery, monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    encoder = with_bias(None)
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, min_probability=0)
    first = rows(indexed, ALL)
    monkeypatch.setattr(tagging, "_CELLS", cells)
    monkeypatch.setattr("retrieval.catalog.reader.BATCH", 4)
    seen: list[tuple[int, int]] = []
    tag_gallery(
        indexed, LABELS, TEMPLATES, encoder=encoder, min_probability=0, on_progress=lambda *now: seen.append(now)
    )
    again = rows(indexed, ALL)
    assert [row[:3] for row in again] == [row[:3] for row in first]
    assert [row[3] for row in again] == pytest.approx([row[3] for row in first], abs=1e-6)
    assert seen[-1] == (6, 6) and len(seen) >= (2 if cells > 9 else 3)


def test_a_second_run_replaces_the_first_or_leaves_it_whole(indexed: Gallery) -> None:
    encoder = with_bias(None)
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder)
    before = rows(indexed, ALL)

    def stop(done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tag_gallery(indexed, ["white", "yellow"], TEMPLATES, encoder=encoder, on_progress=stop)
    assert rows(indexed, ALL) == before
    tag_gallery(indexed, ["white", "yellow"], TEMPLATES, encoder=encoder)
    assert {row[2] for row in rows(indexed, ALL)} <= {"white", "yellow"}


def test_a_folder_alone_can_be_tagged_anew(indexed: Gallery, photos: Path) -> None:
    encoder = with_bias(None, 50.0)
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, top=1)
    before = predictions(indexed)
    report = tag_gallery(indexed, ["white", "yellow"], TEMPLATES, encoder=encoder, top=1, folders=[photos / "trip"])
    after = predictions(indexed)
    assert report.pictures == 3
    for name in PHOTOS:
        base = Path(name).name
        if name.startswith("trip/"):
            assert after[base].keys() <= {"white", "yellow"}
        else:
            assert after[base] == before[base]
    with pytest.raises(UnknownImage, match="nowhere"):
        tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, folders=[photos, photos / "nowhere"])


def test_each_encoder_has_its_own_predictions(indexed: Gallery, photos: Path) -> None:
    one, two = with_bias(None), with_bias(None, name="second")
    Indexer(indexed, two).run(photos)
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=one)
    of_one = rows(indexed, "SELECT image_id, tag, probability FROM predicted_tags WHERE encoder_id = 1 ORDER BY id")
    tag_gallery(indexed, ["red", "blue"], TEMPLATES, encoder=two)
    assert (
        rows(indexed, "SELECT image_id, tag, probability FROM predicted_tags WHERE encoder_id = 1 ORDER BY id")
        == of_one
    )
    with indexed.reader() as reader:
        first, second = reader.encoders()
        assert set(predicted_counts(reader, second.id)) == {"red", "blue"}
        assert labels_of(reader, [1])[0].predicted == labels_of(reader, [1], second)[0].predicted  # the active one
        assert labels_of(reader, [1])[0].predicted != labels_of(reader, [1], first)[0].predicted


def test_predictions_go_with_the_picture_and_stay_with_a_moved_one(indexed: Gallery, photos: Path) -> None:
    encoder = with_bias(None)
    tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder)
    before = predictions(indexed)
    (photos / "red-1.jpg").rename(photos / "moved.jpg")
    replace_picture(photos / "green.jpg", "blue", seed=77)
    (photos / "trip" / "blue-1.jpg").unlink()
    save_picture(photos / "new.jpg", "red", seed=78)
    Indexer(indexed, encoder).run(photos)
    after = predictions(indexed)
    assert after["moved.jpg"] == before["red-1.jpg"] != {}
    assert after["green.jpg"] == after["new.jpg"] == {}  # another picture; not looked at yet
    with indexed.reader() as reader:
        counts = predicted_counts(reader, reader.encoders()[0].id)
    shown: dict[str, int] = {}
    for found in after.values():
        for tag in found:
            shown[tag] = shown.get(tag, 0) + 1
    assert counts == shown  # what is gone is not counted


def test_wrong_use_is_told(indexed: Gallery, gallery: Gallery, tmp_path: Path) -> None:
    encoder = with_bias(None)
    for wrong in ({"top": 0}, {"min_probability": -0.1}, {"min_probability": 1.1}, {"min_probability": float("nan")}):
        with pytest.raises(QueryError):
            tag_gallery(indexed, LABELS, TEMPLATES, encoder=encoder, **wrong)
    with pytest.raises(QueryError, match="choose"):
        tag_gallery(indexed, ["red"], TEMPLATES, encoder=encoder)
    assert tag_gallery(indexed, ["red"], TEMPLATES, encoder=with_bias(-5.0)).labels == 1  # judged for itself
    with pytest.raises(EncoderMismatch, match=r"other.*colour"):
        tag_gallery(indexed, LABELS, TEMPLATES, encoder=ColourEncoder(name="other"))
    with pytest.raises(UnknownEncoder, match="coluor"):
        tag_gallery(indexed, LABELS, TEMPLATES, model="coluor")
    with pytest.raises(TextNotSupported):
        tag_gallery(indexed, LABELS, TEMPLATES, encoder=ColourEncoder(has_text=False))
    with pytest.raises(GalleryNotFound):
        tag_gallery(Gallery(tmp_path / "none"), LABELS, TEMPLATES, encoder=encoder)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5]), min_size=5, max_size=5), min_size=1, max_size=6))
def test_the_best_labels_are_those_of_a_full_sort(values: list[list[float]]) -> None:
    believed = np.array(values)
    for top in range(1, 6):
        best = best_labels(believed, top)
        full = np.sort(believed, axis=1)[:, ::-1][:, :top]
        np.testing.assert_array_equal(np.take_along_axis(believed, best, axis=1), full)
        assert all(len(set(row)) == top for row in best.tolist())


@settings(deadline=None, max_examples=8)
@given(st.lists(st.sampled_from(["red", "Green", "blue", "mine"]), max_size=4), st.booleans())
def test_what_people_say_and_what_a_model_says_never_mix(tags: list[str], tag_first: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        photos, gallery, encoder = Path(place) / "photos", Gallery(Path(place) / "gallery"), with_bias(None)
        save_picture(photos / "red.jpg", "red")
        Indexer(gallery, encoder).run(photos)

        def predict() -> None:
            tag_gallery(gallery, ["red", "green"], TEMPLATES, encoder=encoder, min_probability=0)

        if tag_first:
            predict()
        for tag in tags:
            edit_labels(gallery, [1], LabelEdit(tags=(tag,)))
        predict()
        with gallery.reader() as reader:
            (found,) = labels_of(reader, [1])
        assert [said.text for said in found.tags] == sorted({tag.lower() for tag in tags})
        assert {said.source for said in found.tags} <= {"user"}
        assert {p.tag for p in found.predicted} == {"red", "green"}
        for tag in set(tags):
            edit_labels(gallery, [1], LabelEdit(without_tags=(tag,)))
        with gallery.reader() as reader:
            (found,) = labels_of(reader, [1])
        assert found.tags == [] and len(found.predicted) == 2
